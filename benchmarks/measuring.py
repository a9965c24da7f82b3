"""One measurement: the load generator against one contender, with everybody's CPU time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field

from benchmarks.contenders import MODEL, Contender
from benchmarks.processes import (
    ROOT,
    ProcessFailedError,
    cpu_seconds,
    machine_cpu_seconds,
    measurable,
)

MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator does: `calls` or `seconds` end it; `tokens` makes it stream."""

    name: str
    connections: int
    warmup: float
    seconds: float
    calls: int = 0
    tokens: int = 0
    rate: float = 50.0

    def arguments(self) -> list[str]:
        names = ("connections", "warmup", "seconds", "calls", "tokens", "rate")
        return [text for name in names for text in (f"--{name}", str(getattr(self, name)))]


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of the generator gave; `cpu` is seconds by part, within the window."""

    figures: dict[str, float]
    cpu: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.figures[name]

    def cpu_ms_per(self, what: str, part: str) -> float:
        """CPU milliseconds of a part per answer or token, `what` being its rate."""
        done = self.figures[what] * self.figures["seconds"]
        return self.cpu.get(part, 0.0) * 1000 / done if done else 0.0


def measure(contender: Contender, load: Load) -> Sample:
    """Run the generator once.

    Raises:
        ProcessFailedError: it broke down.
    """
    command = [sys.executable, "-m", "benchmarks.load", contender.chat_url, "--model", MODEL]
    command += [f"--api-key={contender.api_key}", *load.arguments()]
    # A session of its own: Ctrl-C is for the benchmark, which ends the generator itself.
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    with process:
        try:
            sample = _read(process, contender)
        except BaseException:
            process.kill()
            raise
    if sample is None:
        raise ProcessFailedError(f"the load generator failed on {contender.name} {load.name}")
    return sample


def idle_percent(contender: Contender, *, seconds: float) -> dict[str, float]:
    """CPU time of each part while nothing is asked, in percent of one core."""
    before = _cpu(contender)
    time.sleep(seconds)
    after = _cpu(contender)
    return {part: 100 * (after[part] - before[part]) / seconds for part in after if part != MACHINE}


def _read(process: subprocess.Popen[str], contender: Contender) -> Sample | None:
    """Follow the generator's marks: CPU times are read as its window opens and closes."""
    assert process.stdout is not None
    before: dict[str, float] = {}
    after: dict[str, float] = {}
    for line in process.stdout:
        if line == "begin\n":
            before = _cpu(contender)
        elif line == "end\n":
            after = _cpu(contender)
        else:
            figures = json.loads(line)
            cpu = {part: after[part] - before[part] for part in after}
            cpu["load"] = figures["load_cpu_seconds"]
            machine = cpu.pop(MACHINE, 0.0)
            figures["others_percent"] = _others_percent(machine, cpu, figures["seconds"])
            return Sample(figures, cpu)
    return None


def _others_percent(machine: float, ours: dict[str, float], seconds: float) -> float:
    """CPU time that went to nobody measured, in percent of the machine."""
    capacity = seconds * (os.cpu_count() or 1)
    return max(0.0, 100 * (machine - sum(ours.values())) / capacity)


def _cpu(contender: Contender) -> dict[str, float]:
    if not measurable():
        return {}
    parts = {part: cpu_seconds(pid) for part, pid in contender.parts.items()}
    return parts | {MACHINE: machine_cpu_seconds()}
