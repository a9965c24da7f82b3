"""Does a long queue slow down what is next in it? `make bench-queue-depth`.

The same claims with a thousand and with a million queued rows, and the million got there by the
operator's own command, `manage.py bulk_submit`: its rows a second and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from benchmarks import command, report
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
    return command.run(lambda: _measured(options))


def _measured(options: argparse.Namespace) -> int:
    rows = _benchmark(options)
    name = "queue_depth" if options.rows == MANY else "queue_depth-partial"
    report.publish(name, rows, title=f"A queue of {FEW:,} and of {options.rows:,} rows")
    return 0


def _benchmark(options: argparse.Namespace) -> list[Row]:
    began, cpu = time.monotonic(), machine_cpu_seconds()
    with (
        tempfile.TemporaryDirectory(prefix="llmqueue-bench-") as folder,
        Services() as services,
    ):
        deep = _environment(services, Path(folder), options.rows)
        shallow = deep | {"DATABASE_URL": _another_database(services.database_url)}
        for environment in (shallow, deep):
            run([*MANAGE, "migrate", "--verbosity", "0"], environment=environment)
            run([*MANAGE, "bootstrap"], environment=environment)
        few = _submit(shallow, Path(folder), FEW)
        many = _submit(deep, Path(folder), options.rows)
        _must_wait(deep, options.rows)
        # What the bulk has left to be written is no part of a claim.
        with psycopg.connect(deep["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("checkpoint")
        urls = [shallow["DATABASE_URL"], deep["DATABASE_URL"]]
        claiming = [sys.executable, "-m", "benchmarks.claiming", "--rounds", str(options.rounds)]
        short, long = json.loads(run([*claiming, *urls], environment=deep))
    busy = (machine_cpu_seconds() - cpu) / (time.monotonic() - began) / (os.cpu_count() or 1)
    return [
        *_rows(short, long, few, many),
        Row("CPU of the machine in use", round(100 * busy), "%"),
    ]


def _rows(shallow: dict[str, float], deep: dict[str, float], few: Bulk, many: Bulk) -> list[Row]:
    rows = []
    for key, name, goal in (
        ("claim_p50", "claim p50", "<= 1.5"),
        ("claim_p99", "claim p99", None),
        ("submit_p50", "submit p50", None),
        ("sweep_p50", "sweep p50", None),
    ):
        rows += [
            Row(f"{name}, {few.rows:,} queued", round(shallow[key], 3), "ms"),
            Row(f"{name}, {many.rows:,} queued", round(deep[key], 3), "ms"),
            Row(f"{name}, ratio", round(deep[key] / shallow[key], 3), "ratio", goal),
        ]
    return [
        *rows,
        Row(f"bulk submission of {many.rows:,} rows", round(many.seconds, 1), "s"),
        Row("bulk submission", round(many.rows / many.seconds), "rows/s"),
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


def _another_database(url: str) -> str:
    """An empty database beside the one that the URL names."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database shallow")
    return urlunsplit(urlsplit(url)._replace(path="/shallow"))


def _must_wait(environment: Mapping[str, str], rows: int) -> None:
    """
    Raises:
        ProcessFailedError: another number of rows is queued.
    """
    with psycopg.connect(environment["DATABASE_URL"]) as connection:
        statement = "select count(*) from scheduling_job where status = 'queued'"
        found = connection.execute(statement).fetchone()
    if found != (rows,):
        raise ProcessFailedError(f"{found} rows are queued instead of {rows}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
