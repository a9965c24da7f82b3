"""Does a long queue slow down what is next in it? `make bench-queue-depth`.

The same claims with a thousand and with a million queued rows, and the million got there by the
operator's own command, `manage.py bulk_submit`: its rows a second and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psycopg

from benchmarks import report
from benchmarks.contenders import plain_environment
from benchmarks.processes import ROOT, ProcessFailedError, machine_cpu_seconds, run
from benchmarks.report import Row
from llmqueue_project.embedded.services import Services

MODEL, TENANT, LEVEL = "benchmark", "demo", "low"
FEW, MANY = 1_000, 1_000_000
MANAGE = [sys.executable, "manage.py"]
BODY = "Summarise the following report in three sentences. " * 4


@dataclass(frozen=True, slots=True)
class Bulk:
    """One run of the command; memory is the peak resident set of its process, in MB."""

    rows: int
    seconds: float
    megabytes: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=MANY, help="of the long queue")
    parser.add_argument("--rounds", type=int, default=500, help="claims timed at each depth")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        rows = _benchmark(options)
    except KeyboardInterrupt:
        print("\ninterrupted; everything started was stopped", file=sys.stderr)
        return 130
    except ProcessFailedError as error:
        print(f"\nbenchmark failed: {error}", file=sys.stderr)
        return 1
    name = "queue_depth" if options.rows == MANY else "queue_depth-partial"
    report.publish(name, rows, title=f"A queue of {FEW:,} and of {options.rows:,} rows")
    return 0


def _benchmark(options: argparse.Namespace) -> list[Row]:
    began, cpu = time.monotonic(), machine_cpu_seconds()
    with (
        tempfile.TemporaryDirectory(prefix="llmqueue-bench-") as folder,
        Services() as services,
    ):
        environment = _environment(services, Path(folder), options.rows)
        _say("creating tables")
        run([*MANAGE, "migrate", "--verbosity", "0"], environment=environment)
        run([*MANAGE, "bootstrap"], environment=environment)
        few = _submit(environment, Path(folder), FEW)
        # By turns of what is short, so that the machine's mood meets both.
        shallow = [_claim(environment, options.rounds) for _ in range(2)]
        many = _submit(environment, Path(folder), options.rows - FEW)
        deep = [_claim(environment, options.rounds) for _ in range(2)]
        waiting = _waiting(environment)
        if waiting != options.rows:
            raise ProcessFailedError(f"{waiting} rows wait instead of {options.rows}")
        _say("emptying the queue to a thousand again")
        _cut(environment)
        shallow += [_claim(environment, options.rounds)]
    _say(
        f"{time.monotonic() - began:.0f} s, CPU of the machine {machine_cpu_seconds() - cpu:.0f} s"
    )
    return _rows(shallow, deep, few, many)


def _rows(
    shallow: list[dict[str, float]], deep: list[dict[str, float]], few: Bulk, many: Bulk
) -> list[Row]:
    rows = []
    for key, name, goal in (
        ("claim_p50", "claim p50", "<= 1.5"),
        ("claim_p99", "claim p99", None),
        ("submit_p50", "submit p50", None),
        ("sweep_p50", "sweep round p50", None),
    ):
        short, long = (median(run[key] for run in runs) for runs in (shallow, deep))
        depth = f"{many.rows + few.rows:,}"
        rows += [
            Row(f"{name}, {FEW:,} queued", round(short, 3), "ms"),
            Row(f"{name}, {depth} queued", round(long, 3), "ms"),
            Row(f"{name}, {depth} / {FEW:,}", round(long / short, 3), "ratio", goal),
        ]
    return [
        *rows,
        Row("bulk submission", round(many.rows / many.seconds), "rows/s"),
        Row(f"bulk submission of {many.rows:,} rows", round(many.seconds, 1), "s"),
        Row("bulk submission, peak memory", round(many.megabytes, 1), "MB"),
        Row(
            f"bulk submission, peak memory / that of {few.rows:,} rows",
            round(many.megabytes / few.megabytes, 3),
            "ratio",
            "<= 2",
        ),
    ]


def _environment(services: Services, folder: Path, rows: int) -> dict[str, str]:
    return plain_environment() | {
        **services.environment,
        "DJANGO_SETTINGS_MODULE": "llmqueue_project.settings",
        "LLM_BASE_URL": "http://127.0.0.1:9/v1",
        "LLM_MODEL": MODEL,
        "LLMQUEUE_STATE_DIR": str(folder),
        "LLMQUEUE_SCHEDULING__MAX_QUEUED": str(2 * rows),
    }


def _submit(environment: Mapping[str, str], folder: Path, rows: int) -> Bulk:
    """Queue so many requests with the operator's command."""
    path = folder / "requests.jsonl"
    with path.open("w") as file:
        for number in range(rows):
            message = {"role": "user", "content": f"{number}: {BODY}"}
            file.write(json.dumps({"model": MODEL, "messages": [message]}) + "\n")
    _say(f"submitting {rows:,} requests")
    command = [*MANAGE, "bulk_submit", str(path), "--tenant", TENANT, "--priority", LEVEL]
    began = time.monotonic()
    process = subprocess.Popen([*command, "--queue-now"], cwd=ROOT, env=dict(environment))
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ProcessFailedError(f"bulk_submit failed with {process.returncode}")
    path.unlink()
    return Bulk(rows, time.monotonic() - began, used.ru_maxrss / 1024)


def _claim(environment: Mapping[str, str], rounds: int) -> dict[str, float]:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        level, flow = _one(connection, "select level, flow_id from scheduling_job limit 1")
    command = [sys.executable, "-m", "benchmarks.claiming", "--model", MODEL]
    command += ["--level", str(level), "--flow", str(flow)]
    command += ["--rounds", str(rounds), "--sweeps", "10"]
    found: dict[str, float] = json.loads(run(command, environment=environment))
    _say(", ".join(f"{name} {value:.2f} ms" for name, value in found.items()))
    return found


def _waiting(environment: Mapping[str, str]) -> int:
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        statement = "select count(*) from scheduling_job where status = 'queued'"
        return int(_one(connection, statement)[0])


def _cut(environment: Mapping[str, str]) -> None:
    """End all but the last thousand, as workers would have."""
    with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "update scheduling_job set status = 'completed', finished_at = now()"
            " where status = 'queued' and id not in (select id from scheduling_job"
            " where status = 'queued' order by fair_tag desc limit 1000)"
        )
        connection.execute("vacuum analyze scheduling_job")


def _one(connection: psycopg.Connection, statement: str) -> tuple[int, ...]:
    row = connection.execute(statement.encode()).fetchone()
    assert row is not None
    return tuple(row)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
