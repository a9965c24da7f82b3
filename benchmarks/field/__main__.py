"""Does one bad endpoint harm the requests that two good ones could answer? `make bench-field`.

The same load twice: on two good endpoints alone, then for long with a third one beside them that
behaves badly in all ways of `ways.py` at random. Clients check that each answer is whole and their
own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import command, report
from benchmarks.contenders import MODEL, Contender, plain_environment
from benchmarks.field.callers import Outcome, send
from benchmarks.load import percentile
from benchmarks.processes import (
    Process,
    machine_cpu_seconds,
    measurable,
    memory_megabytes,
)
from benchmarks.report import Row
from benchmarks.stack import Shape, llmqueue
from llmqueue_project.embedded.ports import free_port

SLOTS = 5
GOOD, BAD = 2, 1
ALONE_SECONDS, SOAK_SECONDS, SETTLED_SECONDS = 180.0, 900.0, 120.0
MEMORY_SECONDS = 5.0
PARTS = ("web", "worker")
CALLS = """
select case outcome when 'ok' then 'answered' else coalesce(nullif(error_code, ''), outcome) end,
  count(*)
from scheduling_attempt where endpoint_name like 'bad%' group by 1 order by 2 desc
"""


class Memory(threading.Thread):
    """Watches the memory of the stack's parts: (seconds since its start, MB) for each."""

    def __init__(self, contender: Contender) -> None:
        super().__init__(daemon=True)
        self._pids = {part: contender.parts[part] for part in PARTS}
        self._over = threading.Event()
        self.seen: dict[str, list[tuple[float, float]]] = {part: [] for part in PARTS}

    def run(self) -> None:
        began = time.monotonic()
        while not self._over.wait(MEMORY_SECONDS):
            for part, pid in self._pids.items():
                self.seen[part].append((time.monotonic() - began, memory_megabytes(pid)))

    def stop(self) -> None:
        self._over.set()
        self.join()

    def growth(self, part: str, settled: float) -> float | None:
        """Memory in the last fifth of the run, by that just after it had settled."""
        after = [megabytes for at, megabytes in self.seen[part] if at >= settled]
        if len(after) < 10:
            return None
        share = len(after) // 5
        return _median(after[-share:]) / _median(after[:share])


def main() -> int:
    options = _parser().parse_args()
    return command.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> int:
    rows = _benchmark(options)
    name = "field" if options.seconds >= SOAK_SECONDS else "field-partial"
    report.publish(name, rows, title=f"{options.seconds / 60:.0f} minutes beside a bad endpoint")
    return 1 if report.missed(rows) else 0


def _benchmark(options: argparse.Namespace) -> list[Row]:
    alone = min(ALONE_SECONDS, options.seconds)
    settled = min(SETTLED_SECONDS, options.seconds / 3)
    _say(f"{alone:.0f} s on two good endpoints alone")
    with _stage(options, bad=0) as stack:
        before = asyncio.run(send(stack, rate=options.rate, seconds=alone, seed=1))
    _say(f"{options.seconds:.0f} s with a bad one beside them")
    began, cpu = time.monotonic(), machine_cpu_seconds()
    with _stage(options, bad=BAD) as stack:
        memory = Memory(stack)
        memory.start()
        during = asyncio.run(send(stack, rate=options.rate, seconds=options.seconds, seed=2))
        memory.stop()
        tried = _bad_calls(stack.database_url)
    busy = (machine_cpu_seconds() - cpu) / (time.monotonic() - began) / (os.cpu_count() or 1)
    for fault, count in Counter(each.fault for each in during if each.fault).most_common(20):
        _say(f"{count:5} {fault}")
    return [
        *_rows(before, during),
        *(
            Row(f"memory of {part}, end / after {settled:.0f} s", growth, "ratio", "<= 1.1")
            for part in PARTS
            if measurable() and (growth := memory.growth(part, settled)) is not None
        ),
        *(Row(f"calls of the bad endpoint: {what}", count, "calls") for what, count in tried),
        Row("CPU of the machine in use", round(100 * busy), "%"),
    ]


def _bad_calls(database_url: str) -> list[tuple[str, int]]:
    """What llmqueue made of the bad endpoint's answers, the most frequent first."""
    with psycopg.connect(database_url) as connection:
        return connection.execute(CALLS).fetchall()


def _rows(before: Sequence[Outcome], during: Sequence[Outcome]) -> list[Row]:
    def p99(outcomes: Sequence[Outcome]) -> float:
        return percentile([each.seconds for each in outcomes], 0.99)

    def success(outcomes: Sequence[Outcome]) -> float:
        return 100 * sum(not each.fault for each in outcomes) / len(outcomes)

    return [
        Row("requests", len(during), "requests"),
        Row("success beside a bad endpoint", round(success(during), 3), "%", ">= 99.9"),
        Row("success on the good ones alone", round(success(before), 3), "%", ">= 99.9"),
        Row("p50 on the good ones alone", percentile([x.seconds for x in before], 0.5), "s"),
        Row("p50 beside a bad endpoint", percentile([x.seconds for x in during], 0.5), "s"),
        Row("p99 on the good ones alone", p99(before), "s"),
        Row("p99 beside a bad endpoint", p99(during), "s"),
        Row("p99, ratio", round(p99(during) / p99(before), 3), "ratio", "<= 2"),
    ]


@contextmanager
def _stage(options: argparse.Namespace, *, bad: int) -> Iterator[Contender]:
    """The stack before two good endpoints and so many bad ones."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="llmqueue-bench-")))
        names = [*(f"good{n}" for n in range(GOOD)), *(f"bad{n}" for n in range(bad))]
        declared: list[dict[str, Any]] = []
        for name in names:
            port = free_port()
            command = [sys.executable, "-m", "benchmarks.field.endpoint", str(port)]
            if name.startswith("bad"):
                lasting = options.seconds * 0.85
                command += ["--bad", str(options.bad), "--lasting-after", str(lasting)]
            log = directory / f"{name}.log"
            process = Process(name, command, log=log, environment=plain_environment())
            stack.enter_context(process).wait_until_answering(
                f"http://127.0.0.1:{port}/v1/models", seconds=20
            )
            url = f"http://127.0.0.1:{port}/v1"
            declared.append(
                {"name": name, "base_url": url, "models": [MODEL], "max_concurrent": SLOTS}
            )
        settings = {"LLM_BASE_URL": "", "LLMQUEUE_ENDPOINTS": json.dumps(declared)}
        endpoint = Contender("field", declared[0]["base_url"])
        shape = Shape(slots=SLOTS * len(names), settings=settings)
        yield stack.enter_context(llmqueue(directory, endpoint, shape))


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SOAK_SECONDS, help="of the soak")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--bad", type=float, default=1.0, help="share of calls answered badly")
    return parser


if __name__ == "__main__":
    sys.exit(main())
