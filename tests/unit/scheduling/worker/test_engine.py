"""The engine's chores: the heartbeat over what runs. Collaborators are stubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import orjson
import psycopg
import pytest

from balancing.endpoints.registry import Target
from scheduling.dispatch.claims import Claimed
from scheduling.dispatch.pool import Bound
from scheduling.execution.call import Side
from scheduling.execution.run import CANCELLED, LOST, Running
from scheduling.outbox import JobStream
from scheduling.worker.engine import Engine
from tests.hot_path import MODEL, claimed


class Stub:
    """Runner, claims and pool in one."""

    def __init__(self, *runs: Running) -> None:
        self.running = {run.job.id: run for run in runs}
        self.leases = {run.job.id: False for run in runs}
        self.during: Any = lambda: None
        self.beaten: list[UUID] = []
        self.renewed: dict[int, list[str]] = {}
        self.stopped: dict[UUID, str] = {}

    def stop(self, job_id: UUID, reason: str) -> None:
        self.stopped[job_id] = reason

    async def heartbeat(self, jobs: Sequence[Claimed]) -> dict[UUID, bool]:
        self.beaten = [job.id for job in jobs]
        self.during()
        return self.leases

    async def renew(self, held: Mapping[int, Sequence[str]], *_: Any, **__: Any) -> None:
        self.renewed = {endpoint: list(leases) for endpoint, leases in held.items() if leases}


def running(endpoint: int = 1, *, holds_slot: bool = True, **fields: Any) -> Running:
    job = claimed()
    target = Target(endpoint, "e", "http://e", frozenset([MODEL]), "", 1.0, 4, "enabled")
    side = Side(Bound(target, "{}"), job.lease, False, holds_slot=holds_slot)
    return Running(job, side, JobStream(job.id, "", False, 1), **fields)


async def nothing_capped(_jobs: Sequence[Claimed]) -> None:
    return


def engine(stub: Stub) -> Any:
    made = cast(Any, object.__new__(Engine))
    made.runner = made.claims = made.pool = stub
    made._config = SimpleNamespace()
    made.levels = SimpleNamespace(renew=nothing_capped)
    return made


async def test_leases_and_slots_are_renewed_together() -> None:
    one, two, three = running(1), running(2), running(1)
    stub = Stub(one, two, three)

    await engine(stub)._heartbeat()

    assert stub.beaten == [run.job.id for run in (one, two, three)]
    assert stub.renewed == {1: [one.job.lease, three.job.lease], 2: [two.job.lease]}
    assert stub.stopped == {}


async def test_a_job_whose_end_is_being_stored_is_left_alone() -> None:
    stub = Stub(running(ending=True))
    stub.leases = {}

    await engine(stub)._heartbeat()

    assert stub.stopped == {}


async def test_news_of_the_rows_stops_jobs() -> None:
    kept, lost, cancelled = [running() for _ in range(3)]
    stub = Stub(kept, lost, cancelled)
    stub.leases = {kept.job.id: False, cancelled.job.id: True}

    await engine(stub)._heartbeat()

    assert stub.stopped == {lost.job.id: LOST, cancelled.job.id: CANCELLED}


async def test_slots_are_kept_while_postgresql_is_away() -> None:
    run = running()
    stub = Stub(run)

    def away() -> None:
        raise psycopg.OperationalError("away")

    stub.during = away
    with pytest.raises(psycopg.OperationalError):
        await engine(stub)._heartbeat()

    assert stub.renewed == {1: [run.job.lease]}


@pytest.mark.parametrize("key", ["cancel", "else"])
def test_the_control_channel_cancels(key: str) -> None:
    stub, job = Stub(), claimed()

    engine(stub)._hear(orjson.dumps({key: str(job.id)}))

    assert stub.stopped == ({job.id: CANCELLED} if key == "cancel" else {})


async def test_the_ends_that_the_sweep_finds_are_announced() -> None:
    announced, made = [], engine(Stub())

    async def once() -> list[str]:
        return ["one", "two"]

    async def swept(job: str) -> None:
        announced.append(job)

    made.sweeper, made.announcer = SimpleNamespace(once=once), SimpleNamespace(swept=swept)

    await made._sweep()

    assert announced == ["one", "two"]
