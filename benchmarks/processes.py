"""Start a process, wait until it answers, read its CPU time and memory, stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from llmqueue_project.embedded import tether

ROOT = Path(__file__).resolve().parent.parent
STOP_SECONDS = 20.0
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ProcessFailedError(Exception):
    """A process ended or did not answer; the message carries the end of its log."""


class Process:
    """A command with its children, tethered to us: it dies with the benchmark, even on kill -9."""

    def __init__(
        self, name: str, command: list[str], *, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    def __enter__(self) -> Self:
        tethered = [sys.executable, "-I", "-S", tether.__file__, "--watch", "--", *self._command]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                tethered,
                cwd=ROOT,
                env={**self._environment, tether.PARENT: str(os.getpid())},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            # The tether goes with its child's group once its own parent is dead; here
            # the parent lives, so the group is ours to end.
            for pid in tree(self._process.pid):
                _kill(pid)
            self._process.wait()

    def wait_until_answering(self, url: str, *, seconds: float) -> None:
        """Until `url` gives 200.

        Raises:
            ProcessFailedError: the process ended, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not answers(url):
            self.must_run()
            if time.monotonic() > deadline:
                raise ProcessFailedError(f"{self.name} does not answer at {url}\n{self.tail()}")
            time.sleep(0.2)

    def must_run(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise ProcessFailedError(f"{self.name} ended\n{self.tail()}")

    def tail(self) -> str:
        """The end of the log."""
        lines = self._log.read_text(errors="replace").splitlines()
        return f"--- end of {self._log}:\n" + "\n".join(lines[-30:])


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def run(command: list[str], *, environment: Mapping[str, str]) -> str:
    """Run a command to its end; its standard output.

    Raises:
        ProcessFailedError: it exits with an error.
    """
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ProcessFailedError(f"{' '.join(command)} failed\n{done.stdout}{done.stderr}")
    return done.stdout


def tree(pid: int) -> list[int]:
    """A process and all its descendants (Linux)."""
    pids = [pid]
    for parent in pids:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                pids += map(int, children.read_text().split())
            except OSError:
                continue
    return pids


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants, those that have ended included."""
    return sum(map(_ticks, tree(pid))) / CLOCK_TICKS


def machine_cpu_seconds() -> float:
    """CPU time that all processes of the machine have used, whoever they belong to."""
    user, nice, system, _idle, _iowait, irq, softirq, *_ = _first_line(Path("/proc/stat"))
    return (user + nice + system + irq + softirq) / CLOCK_TICKS


def memory_megabytes(pid: int) -> float:
    """Proportional set size of a process and its descendants."""
    return sum(map(_pss_kilobytes, tree(pid))) / 1024


def measurable() -> bool:
    """Whether this system shows CPU time and memory of other processes in /proc."""
    return Path("/proc/self/smaps_rollup").exists()


def _first_line(path: Path) -> list[int]:
    """The numbers after the first word."""
    return [int(word) for word in path.read_text().split("\n", 1)[0].split()[1:]]


def _ticks(pid: int) -> int:
    """User and system time, own and of children that were waited for."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    return sum(map(int, stat.rpartition(")")[2].split()[11:15]))


def _pss_kilobytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
