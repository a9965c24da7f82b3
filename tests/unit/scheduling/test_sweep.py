"""A round of the sweep: what it runs, what it tells, which tickets it publishes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scheduling import statements
from scheduling.levels import LEVELS
from scheduling.models import Priority, Status
from scheduling.pauses import PAUSES
from scheduling.statements import (
    HOLD_PAUSED,
    LOST_STREAMS,
    QUEUED,
    RESUME_PAUSED,
    SWEEP_DEADLINES,
    SWEEP_DUE,
    SWEEP_LEASES,
)
from scheduling.sweep import PAUSE_ROUNDS, TRY_LOCK, Ended, Row, Sweeper
from stores.postgres import Run
from tests.unit.scheduling.queues import StubQueues

JOB = UUID(int=1)


class StubDatabase:
    """`found` has the rows of a statement, where there are any."""

    def __init__(self, found: dict[str, list[Row]] | None = None, *, locked: bool = False) -> None:
        self.found = {TRY_LOCK: [(not locked,)], QUEUED: counts(), **(found or {})}
        self.ran: list[str] = []
        self.values: dict[str, dict[str, Any]] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Run]:
        async def run(statement: str, **values: Any) -> list[Row]:
            self.ran.append(statement)
            self.values[statement] = values
            return self.found.get(statement, [])

        yield run


def counts(**queued: int) -> list[Row]:
    """Rows of `sql/queued.sql`."""
    return [(place, queued.get(level, 0)) for place, level in enumerate(LEVELS)]


def moved(status: Status, job_id: UUID = JOB, level: Priority = Priority.NORMAL) -> Row:
    """A row of the statements that bring jobs to their end."""
    return (
        job_id,
        int(level),
        status.value,
        "message",
        "web",
        None,
        1,
        True,
        "code",
        "why",
        "request",
    )


def sweeper(database: StubDatabase, queues: StubQueues | None = None) -> Sweeper:
    return Sweeper(database=database, queues=queues or StubQueues(), spoken=nobody)


async def nobody(_attempts: Mapping[UUID, int]) -> Collection[UUID]:
    return ()


async def rounds(database: StubDatabase, count: int) -> list[list[str]]:
    """The statements of so many rounds."""
    made, ran = sweeper(database), []
    for _ in range(count):
        database.ran = []
        await made.once()
        ran.append(database.ran)
    return ran


async def test_while_another_worker_sweeps_nothing_is_done() -> None:
    database, queues = StubDatabase(locked=True), StubQueues()

    ended = await sweeper(database, queues).once()

    assert ended == []
    assert database.ran == [TRY_LOCK]
    assert queues.sent == 0


async def test_after_an_outage_leases_are_left_alone_until_they_can_have_been_renewed() -> None:
    now, away = [100.0], [True]

    class Outage(StubDatabase):
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[Run]:
            if away[0]:
                raise psycopg.OperationalError("away")
            async with super().transaction() as run:
                yield run

    database = Outage()
    made = Sweeper(
        database=database,
        queues=StubQueues(),
        spoken=nobody,
        grace_seconds=10.0,
        clock=lambda: now[0],
    )
    with pytest.raises(psycopg.OperationalError):
        await made.once()
    away[0] = False

    swept = []
    for now[0] in (101.0, 109.9, 110.1):
        database.ran = []
        await made.once()
        swept.append(SWEEP_LEASES in database.ran)

    assert swept == [False, False, True]
    assert SWEEP_DEADLINES in database.ran


async def test_a_worker_that_began_in_an_outage_leaves_leases_alone_too() -> None:
    """Others' answers wait to be stored; a new worker must not have them generated again."""
    now, database = [100.0], StubDatabase()
    made = Sweeper(
        database=database,
        queues=StubQueues(),
        spoken=nobody,
        grace_seconds=10.0,
        clock=lambda: now[0],
    )
    made.spare_leases()

    await made.once()
    assert SWEEP_LEASES not in database.ran
    now[0] = 110.1
    await made.once()
    assert SWEEP_LEASES in database.ran


async def test_the_witness_tells_which_lost_streams_have_sent_text() -> None:
    told, silent = UUID(int=1), UUID(int=2)
    database = StubDatabase({LOST_STREAMS: [(told, 2), (silent, 1)]})
    asked: dict[UUID, int] = {}

    async def spoken(attempts: Mapping[UUID, int]) -> Collection[UUID]:
        asked.update(attempts)
        return {told}

    await Sweeper(database=database, queues=StubQueues(), spoken=spoken).once()

    assert asked == {told: 2, silent: 1}
    assert database.values[SWEEP_LEASES] == {"looked": [told, silent], "spoke": [told]}


@pytest.mark.parametrize("error", [RedisConnectionError("away"), TimeoutError()])
async def test_lost_streams_wait_while_their_witness_is_away(error: Exception) -> None:
    database = StubDatabase({LOST_STREAMS: [(JOB, 1)]})

    async def spoken(_attempts: Mapping[UUID, int]) -> Collection[UUID]:
        raise error

    await Sweeper(database=database, queues=StubQueues(), spoken=spoken).once()

    assert database.values[SWEEP_LEASES] == {"looked": [], "spoke": []}


async def test_it_returns_the_jobs_that_ended() -> None:
    lost, late = moved(Status.FAILED), moved(Status.TIMEOUT, UUID(int=2))
    database = StubDatabase({SWEEP_LEASES: [lost], SWEEP_DEADLINES: [late]})
    queues = StubQueues()

    ended = await sweeper(database, queues).once()

    assert [(job.id, job.status) for job in ended] == [
        (JOB, Status.FAILED),
        (UUID(int=2), Status.TIMEOUT),
    ]
    assert ended[0] == Ended(
        JOB, 2, Status.FAILED, "message", "web", None, 1, True, "code", "why", "request"
    )
    assert queues.published == {}


async def test_what_was_queued_gets_its_tickets_at_once() -> None:
    low = int(Priority.LOW)
    database = StubDatabase(
        {
            SWEEP_LEASES: [moved(Status.QUEUED)],
            SWEEP_DUE: [(uuid4(), low, "queued"), (uuid4(), low, "held")],
        }
    )
    queues = StubQueues()

    assert await sweeper(database, queues).once() == []

    assert queues.published == {"normal": 1, "low": 1}


async def test_ends_are_told_while_valkey_is_away_and_tickets_follow() -> None:
    database = StubDatabase(
        {
            SWEEP_LEASES: [moved(Status.FAILED), moved(Status.QUEUED, UUID(int=2))],
            QUEUED: counts(normal=1),
        }
    )
    queues = StubQueues(error=RedisConnectionError("away"))
    made = sweeper(database, queues)

    ended = await made.once()

    assert [job.id for job in ended] == [JOB]
    queues.error = None
    database.found |= {SWEEP_LEASES: []}
    for _ in range(2):
        assert await made.once() == []
    assert queues.published == {"normal": 1}


async def test_pauses_are_checked_at_first_after_a_change_and_now_and_then() -> None:
    database = StubDatabase()

    ran = await rounds(database, 2 * PAUSE_ROUNDS + 2)

    checked = [number for number, each in enumerate(ran) if HOLD_PAUSED in each]
    assert checked == [first + n for first in (0, PAUSE_ROUNDS, 2 * PAUSE_ROUNDS) for n in (0, 1)]


async def test_a_new_pause_is_checked_twice() -> None:
    database = StubDatabase()
    made = sweeper(database)
    for _ in range(3):
        await made.once()
    database.found[PAUSES] = [("tenant", "t", "")]
    database.found[RESUME_PAUSED] = [(uuid4(), 2, "queued")]

    ran = []
    for _ in range(3):
        database.ran = []
        await made.once()
        ran.append(RESUME_PAUSED in database.ran)

    assert ran == [True, True, False]


@pytest.mark.parametrize("name", ["level", "intake"])
async def test_pauses_that_hold_no_jobs_call_for_no_check(name: str) -> None:
    database = StubDatabase()
    made = sweeper(database)
    for _ in range(3):
        await made.once()
    database.found[PAUSES] = [(name, "", "")]
    database.ran = []

    await made.once()

    assert HOLD_PAUSED not in database.ran


async def test_a_round_is_the_statements_in_their_order() -> None:
    (ran,) = await rounds(StubDatabase(), 1)

    assert ran == list(
        named(
            "LOST_STREAMS SWEEP_LEASES SWEEP_DEADLINES SWEEP_DUE",
            "HOLD_PAUSED RESUME_PAUSED RELEASE_BACKLOG SETTLE QUEUED",
        )
    )


def named(before_pauses: str, after_pauses: str) -> Iterable[str]:
    yield TRY_LOCK
    yield from (getattr(statements, name) for name in before_pauses.split())
    yield PAUSES
    yield from (getattr(statements, name) for name in after_pauses.split())
