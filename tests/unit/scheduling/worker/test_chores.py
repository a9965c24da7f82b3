"""The engine's chores: the heartbeat over what runs, and news. Collaborators are stubs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import psycopg
import pytest

from balancing.endpoints.registry import Target
from balancing.live.state import Ending
from llmqueue_project.config import configuration
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.slot import Placement, Slot
from scheduling.execution.call import EndpointCall
from scheduling.execution.run import Run, Stop
from scheduling.outbox import JobStream
from scheduling.worker.chores import Chores
from tests.hot_path import MODEL, claimed


class Stub:
    """Runner, claims and pool in one."""

    def __init__(self, *runs: Run) -> None:
        self.running = {run.job.id: run for run in runs}
        self.leases = {run.job.id: False for run in runs}
        self.during: Any = lambda: None
        self.beaten: list[UUID] = []
        self.renewed: dict[int, list[str]] = {}
        self.stopped: dict[UUID, Stop] = {}

    def stop(self, job_id: UUID, reason: Stop) -> None:
        self.stopped[job_id] = reason

    async def heartbeat(self, jobs: Sequence[Claimed]) -> dict[UUID, bool]:
        self.beaten = [job.id for job in jobs]
        self.during()
        return self.leases

    async def renew(self, held: Mapping[int, Sequence[str]], *_: Any, **__: Any) -> None:
        self.renewed = {endpoint: list(leases) for endpoint, leases in held.items() if leases}


def running(endpoint: int = 1, **fields: Any) -> Run:
    job = claimed()
    target = Target(endpoint, "e", "http://e", frozenset([MODEL]), "", 1.0, 4, "enabled")
    slot = Slot(Placement(target, "{}"), job.lease, Kept())
    return Run(job, EndpointCall(slot, streamed=False), JobStream(job.id, "", False, 1), **fields)


class Kept:
    async def free(self, ending: Ending) -> None:
        return


async def nothing_capped(_jobs: Sequence[Claimed]) -> None:
    return


def chores(stub: Stub) -> Chores:
    levels = SimpleNamespace(renew=nothing_capped)
    parts: Any = SimpleNamespace(runner=stub, claims=stub, pool=stub, levels=levels)
    return Chores(parts, configuration())


async def test_leases_and_slots_are_renewed_together() -> None:
    one, two, three = running(1), running(2), running(1)
    stub = Stub(one, two, three)

    await chores(stub).heartbeat()

    assert stub.beaten == [run.job.id for run in (one, two, three)]
    assert stub.renewed == {1: [one.job.lease, three.job.lease], 2: [two.job.lease]}
    assert stub.stopped == {}


async def test_a_job_whose_end_is_being_stored_is_left_alone() -> None:
    stub = Stub(running(ending=True))
    stub.leases = {}

    await chores(stub).heartbeat()

    assert stub.stopped == {}


async def test_a_job_whose_end_cannot_be_stored_yet_keeps_its_lease() -> None:
    waits = running(ending=True)
    stub = Stub(waits)

    await chores(stub).heartbeat()

    assert stub.beaten == [waits.job.id]


async def test_news_of_the_rows_stops_jobs() -> None:
    kept, lost, cancelled = [running() for _ in range(3)]
    stub = Stub(kept, lost, cancelled)
    stub.leases = {kept.job.id: False, cancelled.job.id: True}

    await chores(stub).heartbeat()

    assert stub.stopped == {lost.job.id: Stop.LOST, cancelled.job.id: Stop.CANCELLED}


async def test_slots_are_kept_while_postgresql_is_away() -> None:
    run = running()
    stub = Stub(run)

    def away() -> None:
        raise psycopg.OperationalError("away")

    stub.during = away
    with pytest.raises(psycopg.OperationalError):
        await chores(stub).heartbeat()

    assert stub.renewed == {1: [run.job.lease]}


@pytest.mark.parametrize("key", ["cancel", "else"])
def test_the_control_channel_cancels(key: str) -> None:
    stub, job = Stub(), claimed()

    chores(stub).hear(orjson.dumps({key: str(job.id)}))

    assert stub.stopped == ({job.id: Stop.CANCELLED} if key == "cancel" else {})


async def test_the_ends_that_the_sweep_finds_are_announced() -> None:
    announced: list[str] = []

    async def once() -> list[str]:
        return ["one", "two"]

    async def swept(job: str) -> None:
        announced.append(job)

    sweeper, announcer = SimpleNamespace(once=once), SimpleNamespace(swept=swept)
    parts: Any = SimpleNamespace(sweeper=sweeper, announcer=announcer)

    await Chores(parts, configuration()).sweep()

    assert announced == ["one", "two"]
