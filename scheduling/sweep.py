"""What must be done to jobs although nobody asks for it?

Leases that ran out, deadlines, due times, pauses that a submit missed, backlog, tags to correct,
lost tickets. Every worker calls the sweep on its own timer, outside Celery's queues; an advisory
lock lets one of them do it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import psycopg
import structlog
from redis.exceptions import RedisError

from scheduling.models import Priority, Status
from scheduling.pauses import PAUSES, Pauses
from scheduling.policies.fairness import SETTLED_WORKS
from scheduling.statements import (
    HOLD_PAUSED,
    LOST_STREAMS,
    QUEUED,
    RELEASE_BACKLOG,
    RESUME_PAUSED,
    SETTLE,
    SWEEP_DEADLINES,
    SWEEP_DUE,
    SWEEP_LEASES,
)
from scheduling.top_up import Queues, TopUp
from stores.postgres import Run

log = structlog.get_logger(__name__)

LOCK = 0x6C6C6D71  # "llmq"
MOST_TICKETS = 10_000
# Backlog keeps a level at least this far ahead, so that a worker that has just started finds work.
LEAST_QUEUED = 32
# Jobs of each level and model whose tags a round looks at; more than start within a second.
SETTLED_HEADS = 500
# Rounds between two checks for what a pause or its end has missed: a check reads all that waits.
PAUSE_ROUNDS = 30
TRY_LOCK = "select pg_try_advisory_xact_lock(%(lock)s)"

Row = tuple[Any, ...]
# Which of these jobs, each with the number of its attempt, have sent text (scheduling/spoken.py).
Spoken = Callable[[Mapping[UUID, int]], Awaitable[Collection[UUID]]]


class Transactions(Protocol):
    """Where statements run together: `async with database.transaction() as run`."""

    def transaction(self) -> AbstractAsyncContextManager[Run]: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that the sweep brought to its end, in the order of the statements' columns."""

    id: UUID
    level: int
    status: Status
    source: str
    origin: str
    sequence_key: UUID | None
    attempts: int
    stream: bool
    error_code: str
    error_message: str
    request_id: str

    @classmethod
    def of_row(cls, row: Row) -> Ended:
        return cls(row[0], row[1], Status(row[2]), *row[3:])


@dataclass(frozen=True, slots=True)
class _Round:
    """What a round did: jobs that ended, and by level those it queued and all that are queued."""

    ended: list[Ended]
    queued: Counter[str]
    waiting: dict[str, int]


class Sweeper:
    """One worker's sweep.

    Args:
        spoken: the witness of what lost streams have sent.
        grace_seconds: how long leases are left alone after PostgreSQL was away. No worker could
            renew any, and an answer that waits to be stored must not be generated again.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        *,
        database: Transactions,
        queues: Queues,
        spoken: Spoken,
        grace_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._spoken = spoken
        self._grace_seconds = grace_seconds
        self._clock = clock
        self._leases_from = float("-inf")
        self._tickets = TopUp(queues)
        self._pause_checks = _PauseChecks()

    def spare_leases(self) -> None:
        """PostgreSQL was away: leave leases alone for a while."""
        self._leases_from = self._clock() + self._grace_seconds

    async def once(self) -> list[Ended]:
        """One round; the jobs that ended in it. None while another worker holds the lock.

        Raises:
            psycopg.OperationalError: PostgreSQL is away; try again later.
        """
        try:
            found = await self._round()
        except psycopg.OperationalError:
            self.spare_leases()
            raise
        if found is None:
            return []
        try:
            await self._tickets.publish(found.queued, waiting=found.waiting)
        except RedisError as error:
            # The round is committed, and its ends must be told all the same.
            log.warning("sweep.tickets_wait", error=str(error))
        return found.ended

    async def _round(self) -> _Round | None:
        async with self._database.transaction() as run:
            if not (await run(TRY_LOCK, lock=LOCK))[0][0]:
                return None
            lost = await self._lost(run) if self._clock() >= self._leases_from else []
            moved = [*lost, *await run(SWEEP_DEADLINES)]
            released = [*await run(SWEEP_DUE), *await self._resumed(run)]
            released += await run(RELEASE_BACKLOG, least=LEAST_QUEUED, most=MOST_TICKETS)
            await run(SETTLE, heads=SETTLED_HEADS, works=SETTLED_WORKS)
            waiting = await run(QUEUED, cap=MOST_TICKETS)
        if lost:
            log.warning("sweep.leases_lost", jobs=len(lost))
        return _Round(
            ended=[Ended.of_row(row) for row in moved if row[2] != Status.QUEUED],
            queued=_levels(row for row in (*moved, *released) if row[2] == Status.QUEUED),
            waiting={Priority(level).queue: count for level, count in waiting},
        )

    async def _lost(self, run: Run) -> list[Row]:
        """Jobs whose lease ran out, as they were moved.

        Lost streams wait while the witness is away: without Valkey nothing could run again anyway.
        """
        streams: dict[UUID, int] = dict(await run(LOST_STREAMS))
        spoke: Collection[UUID] = ()
        if streams:
            try:
                spoke = await self._spoken(streams)
            except (RedisError, TimeoutError) as error:
                log.warning("sweep.streams_wait", jobs=len(streams), error=str(error))
                streams = {}
        return await run(SWEEP_LEASES, looked=list(streams), spoke=list(spoke))

    async def _resumed(self, run: Run) -> list[Row]:
        """Jobs queued because their pause is over; those that a pause has missed are held."""
        if not self._pause_checks.is_due(Pauses.of_rows(await run(PAUSES))):
            return []
        await run(HOLD_PAUSED)
        return await run(RESUME_PAUSED)


class _PauseChecks:
    """In which rounds to look for jobs that a pause or its end has missed."""

    def __init__(self) -> None:
        self._holding: frozenset[tuple[str, str]] | None = None
        self._rounds_left = 0

    def is_due(self, pauses: Pauses) -> bool:
        """After a change, twice: a submit under way may not have seen it. Then now and then."""
        if pauses.holding != self._holding:
            self._rounds_left = 2
        elif self._rounds_left == 0:
            self._rounds_left = PAUSE_ROUNDS
        self._holding = pauses.holding
        self._rounds_left -= 1
        return self._rounds_left in (0, 1)


def _levels(rows: Iterable[Row]) -> Counter[str]:
    """How many rows there are of each level."""
    return Counter(Priority(row[1]).queue for row in rows)
