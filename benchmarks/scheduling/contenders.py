"""Who takes part: llmqueue, the same machinery as plain FIFO, and stock Celery."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import psycopg
import redis
import uvloop
from celery import Celery

from benchmarks.contenders import MODEL, Contender, plain_environment
from benchmarks.processes import Process
from benchmarks.scheduling import clients, plan
from benchmarks.scheduling.clients import Manner
from benchmarks.scheduling.plan import SLOTS, Compression, Scenario
from benchmarks.scheduling.records import Record, Run, note_calls, prompt
from benchmarks.stack import BIN, Shape, llmqueue
from llmqueue_project.embedded.services import Services
from scheduling.levels import LEVELS

PRODUCT, FIFO, STOCK = "llmqueue", "FIFO", "stock Celery"
WORKERS = 2
DRAIN_SECONDS = 120.0
STALLED_SECONDS = 15.0
Say = Callable[[str], None]
Call = tuple[str, float, float | None]
EVER = 1_000_000.0

ENDED_OTHERWISE = """
select count(*),
       count(*) filter (where status <> 'completed' or attempts <> 1
                           or r.job_id is null)
  from scheduling_job j left join scheduling_jobresult r on r.job_id = j.id
 where created_at >= %s
"""


class Peer(Protocol):
    """One contender, running."""

    @property
    def name(self) -> str: ...

    @property
    def parts(self) -> dict[str, int]:
        """Processes whose CPU time is this contender's."""
        ...

    def run(self, scenario: Scenario, *, cut: bool, say: Say) -> Run: ...


class Journal:
    """The endpoint's record of calls: the same clock for everybody."""

    def __init__(self, endpoint: Contender) -> None:
        self._url = endpoint.base_url.removesuffix("/v1") + "/journal"
        self.take()

    def take(self) -> list[Call]:
        with urllib.request.urlopen(self._url, timeout=10) as response:
            calls: list[Call] = [tuple(call) for call in json.load(response)]
        return calls

    def all_ended(self) -> list[Call]:
        """All calls since the last time, once none runs any more."""
        deadline = time.monotonic() + DRAIN_SECONDS
        ended: list[Call] = []
        while True:
            calls = self.take()
            ended += [call for call in calls if call[2] is not None]
            running = [call for call in calls if call[2] is None]
            if not running or time.monotonic() > deadline:
                return ended + running
            time.sleep(0.1)


class Llmqueue:
    """The product; `alike` makes it first come, first served: one level, one flow, no limit."""

    def __init__(self, stack: Contender, journal: Journal, *, alike: bool) -> None:
        self.name = FIFO if alike else PRODUCT
        self.parts = stack.parts
        self._stack = stack
        self._journal = journal
        self._manner = Manner(alike)

    def run(self, scenario: Scenario, *, cut: bool, say: Say) -> Run:
        with psycopg.connect(self._stack.database_url, autocommit=True) as connection:
            (began,) = connection.execute("select now()").fetchone() or (None,)
            records, start, stopped = self._replay(scenario, cut=cut, say=say)
            self._wait_until_idle(connection)
            note_calls(records, self._journal.all_ended(), start)
            run = Run(self.name, scenario, records, stopped)
            if not cut:
                row = connection.execute(ENDED_OTHERWISE, (began,)).fetchone() or (0, 0)
                run.ended_otherwise = _ended_otherwise(records) + row[1]
                run.ended_otherwise += abs(row[0] - sum(r.accepted for r in records))
        return run

    def _replay(
        self, scenario: Scenario, *, cut: bool, say: Say
    ) -> tuple[list[Record], float, float | None]:
        progress = _Progress(say)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(
                clients.replay(self._stack, scenario, self._manner, cut=cut, say=progress)
            )

    def _wait_until_idle(self, connection: psycopg.Connection) -> None:
        """Clients that were cut off have cancelled their jobs: until all of them are off."""
        deadline = time.monotonic() + DRAIN_SECONDS
        left = (
            "select count(*) from scheduling_job where status in ('held', 'queued', 'processing')"
        )
        while time.monotonic() < deadline:
            row = connection.execute(left).fetchone()
            if row is None or not row[0]:
                return
            time.sleep(0.2)


class StockCelery:
    """An application of defaults, published to as its web side would."""

    name = STOCK

    def __init__(self, worker: Process, redis_url: str, url: str, journal: Journal) -> None:
        self.parts = {"worker": worker.pid}
        self._worker = worker
        self._app = Celery("stock", broker=redis_url, backend=redis_url)
        self._valkey = redis.Redis.from_url(redis_url)
        self._url = url
        self._journal = journal

    def run(self, scenario: Scenario, *, cut: bool, say: Say) -> Run:
        progress = _Progress(say)
        records = [Record(request) for request in scenario.requests]
        start = time.monotonic() + 0.1
        for record in records:
            ahead = start + record.request.at - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            self._publish(record, start)
            progress(time.monotonic() - start, records)
        stopped = time.monotonic() - start if cut else None
        if cut:
            self._valkey.delete(*LEVELS)
        calls = self._drain(0 if cut else len(records))
        note_calls(records, calls, start)
        run = Run(self.name, scenario, records, stopped)
        if not cut:
            run.ended_otherwise = _ended_otherwise(records)
        return run

    def answers(self) -> bool:
        """Whether a worker runs a task, now."""
        record = Record(plan.chat(1.0, 0.1, contenders=()).requests[0])
        result = self._app.send_task("complete", [self._url, _body(record)], queue="normal")
        try:
            return bool(result.get(timeout=30))
        finally:
            self._journal.all_ended()

    def _publish(self, record: Record, start: float) -> None:
        record.sent = time.monotonic() - start
        arguments = [self._url, _body(record)]
        self._app.send_task("complete", arguments, queue=record.request.level)

    def _drain(self, expected: int) -> list[Call]:
        """Calls until so many have ended, or nothing more comes."""
        ended: list[Call] = []
        last = time.monotonic()
        patience = STALLED_SECONDS if expected else 2.0
        while time.monotonic() - last < patience:
            self._worker.must_run()
            calls = self._journal.take()
            fresh = [call for call in calls if call[2] is not None]
            ended += fresh
            if calls:
                last = time.monotonic()
            if expected and len(ended) >= expected:
                break
            time.sleep(0.2)
        return ended


@contextmanager
def product(
    directory: Path,
    endpoint: Contender,
    journal: Journal,
    tenants: Sequence[str],
    compression: Compression,
) -> Iterator[Llmqueue]:
    """llmqueue with its defaults, wait limits compressed like everything else."""
    settings = {"LLMQUEUE_SCHEDULING__MAX_WAIT": json.dumps(compression.limits)}
    shape = Shape(1, WORKERS, 100, None, SLOTS, settings, tuple(tenants))
    with llmqueue(_made(directory / "product"), endpoint, shape) as stack:
        yield Llmqueue(stack, journal, alike=False)


@contextmanager
def fifo(directory: Path, endpoint: Contender, journal: Journal) -> Iterator[Llmqueue]:
    """llmqueue's processes as a queue without levels, flows or limits."""
    settings = {"LLMQUEUE_SCHEDULING__MAX_WAIT": json.dumps(dict.fromkeys(LEVELS, EVER))}
    shape = Shape(1, WORKERS, 100, None, SLOTS, settings)
    with llmqueue(_made(directory / "fifo"), endpoint, shape) as stack:
        yield Llmqueue(stack, journal, alike=True)


@contextmanager
def stock_celery(directory: Path, endpoint: Contender, journal: Journal) -> Iterator[StockCelery]:
    """One prefork worker with as many processes as there are slots, on a Valkey of its own."""
    services = Services()
    try:
        services.valkey.start()
        command = [str(BIN / "celery"), "-A", "benchmarks.peers.stock_celery", "worker"]
        command += ["-Q", ",".join(LEVELS), "-c", str(SLOTS), "-n", "stock@%h"]
        environment = plain_environment() | {"PEER_REDIS_URL": services.redis_url}
        log = directory / "stock.log"
        with Process("stock Celery", command, log=log, environment=environment) as worker:
            peer = StockCelery(worker, services.redis_url, endpoint.chat_url, journal)
            peer.answers()
            peer.parts = peer.parts | {"valkey": services.valkey.pid} | endpoint.parts
            yield peer
    finally:
        services.stop()


class _Progress:
    """A line every few seconds."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._next = 0.0

    def __call__(self, now: float, records: Sequence[Record]) -> None:
        if now < self._next:
            return
        self._next = now + 10.0
        sent = sum(record.sent is not None for record in records)
        if sent:
            self._say(f"{now:5.0f} s: {sent:,} of {len(records):,} sent")


def _ended_otherwise(records: Sequence[Record]) -> int:
    """Accepted requests that the endpoint did not see exactly once."""
    return sum(record.accepted and record.calls != 1 for record in records)


def _body(record: Record) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": prompt(record.request)}]}


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
