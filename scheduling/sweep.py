"""The repair that needs nobody's memory: leases, deadlines, due times and tickets, each second.

Every worker calls it on its own timer, outside Celery's queues; an advisory lock lets one do it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from redis.asyncio import Redis

from scheduling.levels import LEVELS
from scheduling.models import Priority, Status
from scheduling.pauses import PAUSES, Pauses
from scheduling.policies.fairness import SETTLED_WORKS
from scheduling.statements import (
    BACKLOG,
    HOLD_PAUSED,
    RELEASE_BACKLOG,
    RESUME_PAUSED,
    SETTLE,
    SWEEP_DEADLINES,
    SWEEP_DUE,
    SWEEP_LEASES,
)
from scheduling.tickets.messages import pushes
from stores.postgres import Database

log = structlog.get_logger(__name__)

LOCK = 0x6C6C6D71  # "llmq"
MOST_TICKETS = 10_000
# Backlog keeps a level at least this far ahead, so that a worker that has just started finds work.
LEAST_QUEUED = 32
# Jobs of each level and model whose tags a round looks at; more than start within a second.
SETTLED_HEADS = 500
# Rounds between two looks for jobs that a pause or its end has missed; it reads all that wait.
PAUSE_ROUNDS = 30
TRY_LOCK = "select pg_try_advisory_xact_lock(%(lock)s)"


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
    def of_row(cls, row: tuple[Any, ...]) -> Ended:
        return cls(row[0], row[1], Status(row[2]), *row[3:])


@dataclass(frozen=True, slots=True)
class _Round:
    ended: list[Ended]
    queued: Counter[str]
    backlog: dict[str, int]


class Sweeper:
    def __init__(
        self,
        *,
        database: Database,
        client: Redis,
        on_end: Callable[[Ended], Awaitable[None]],
    ) -> None:
        self._database = database
        self._client = client
        self._on_end = on_end
        self._shortfall: dict[str, int] = {}
        self._holding: frozenset[tuple[str, str]] | None = None
        self._settling = 0

    async def once(self) -> bool:
        """One round; False when another worker holds the lock.

        Raises:
            psycopg.OperationalError, redis.RedisError: a server is away; try again later.
        """
        found = await self._round()
        if found is None:
            return False
        for job in found.ended:
            await self._on_end(job)
        await self._top_up(found)
        return True

    async def _round(self) -> _Round | None:
        async with self._database.durable.connection() as connection, connection.transaction():

            async def rows(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
                return await (await connection.execute(statement, parameters or None)).fetchall()

            if not (await rows(TRY_LOCK, lock=LOCK))[0][0]:
                return None
            lost = await rows(SWEEP_LEASES)
            expired = await rows(SWEEP_DEADLINES)
            due = await rows(SWEEP_DUE)
            if self._pauses_need_care(Pauses.of_rows(await rows(PAUSES))):
                await rows(HOLD_PAUSED)
                due += await rows(RESUME_PAUSED)
            due += await rows(RELEASE_BACKLOG, least=LEAST_QUEUED, most=MOST_TICKETS)
            await rows(SETTLE, heads=SETTLED_HEADS, works=SETTLED_WORKS)
            backlog = await rows(BACKLOG, cap=MOST_TICKETS)
        moved = [Ended.of_row(row) for row in (*lost, *expired)]
        if lost:
            log.warning("sweep.leases_lost", jobs=len(lost))
        queued = Counter(Priority(j.level).queue for j in moved if j.status == Status.QUEUED)
        queued.update(Priority(row[1]).queue for row in due if row[2] == Status.QUEUED)
        return _Round(
            ended=[job for job in moved if job.status != Status.QUEUED],
            queued=queued,
            backlog={Priority(level).queue: count for level, count in backlog},
        )

    def _pauses_need_care(self, pauses: Pauses) -> bool:
        """After a change, twice: a submit under way may not have seen it; and now and then."""
        if pauses.holding != self._holding:
            self._settling = 2
        elif self._settling == 0:
            self._settling = PAUSE_ROUNDS
        self._holding = pauses.holding
        self._settling -= 1
        return self._settling in (0, 1)

    async def _top_up(self, found: _Round) -> None:
        """Publish tickets for what was queued now, and for what is short twice in a row.

        Twice, because submit inserts before it publishes, and a worker takes a ticket before it
        claims: for a moment there are more rows than tickets.
        """
        if found.queued:
            await self._publish(found.queued)
        async with self._client.pipeline(transaction=False) as pipe:
            for level in LEVELS:
                pipe.llen(level)
            lengths = dict(zip(LEVELS, await pipe.execute(), strict=True))
        shortfall = {level: found.backlog[level] - lengths[level] for level in LEVELS}
        missing = Counter(
            {
                level: min(short, self._shortfall.get(level, 0))
                for level, short in shortfall.items()
                if short > 0 and self._shortfall.get(level, 0) > 0
            }
        )
        if missing:
            log.info("sweep.tickets_topped_up", **missing)
            await self._publish(missing)
            shortfall = {level: short - missing[level] for level, short in shortfall.items()}
        self._shortfall = shortfall

    async def _publish(self, counts: Counter[str]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for level, messages in pushes(counts):
                pipe.lpush(level, *messages)
            await pipe.execute()
