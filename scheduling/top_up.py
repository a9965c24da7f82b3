"""Which tickets are missing, counted from the rows that wait?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

import structlog

from scheduling.levels import LEVELS

log = structlog.get_logger(__name__)


class Queues(Protocol):
    """The levels' queues; `scheduling.tickets.queue.TicketQueue`."""

    async def lengths(self) -> dict[str, int]: ...

    async def publish(self, counts: Mapping[str, int]) -> None: ...


class TopUp:
    """Publishes tickets for what the sweep has queued, and those that were lost."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._short: Counter[str] = Counter()

    async def publish(self, queued: Mapping[str, int], *, waiting: Mapping[str, int]) -> None:
        """Publish a ticket for each job queued now, and for each that is short twice in a row.

        Twice, because submit inserts before it publishes, and a worker takes a ticket before it
        claims: for a moment there are more rows than tickets.

        Args:
            queued: level -> jobs that this round has queued.
            waiting: level -> all jobs queued, those included.

        Raises:
            redis.RedisError: Valkey is away. What was not published is short in the next rounds.
        """
        await self._queues.publish(queued)
        tickets = await self._queues.lengths()
        short = Counter({level: waiting[level] - tickets[level] for level in LEVELS})
        missing = +short & +self._short
        if missing:
            log.info("sweep.tickets_topped_up", **missing)
            await self._queues.publish(missing)
        self._short = short - missing
