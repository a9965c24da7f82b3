"""Which tickets are missing, counted from the rows that wait?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import structlog

from scheduling.levels import LEVELS
from scheduling.tickets.messages import pushes

log = structlog.get_logger(__name__)


class Pipeline(Protocol):
    """Valkey's commands that are gathered and sent together, as far as the top-up needs them."""

    def llen(self, name: str) -> Any: ...
    def lpush(self, name: str, *values: str) -> Any: ...
    async def execute(self) -> list[Any]: ...


class Queues(Protocol):
    """The client of the Valkey that holds Celery's queues."""

    def pipeline(self, transaction: bool) -> AbstractAsyncContextManager[Pipeline]: ...


class TopUp:
    """Publishes tickets for what the sweep has queued, and those that were lost."""

    def __init__(self, client: Queues) -> None:
        self._client = client
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
        await self._push(queued)
        tickets = await self._tickets()
        short = Counter({level: waiting[level] - tickets[level] for level in LEVELS})
        missing = +short & +self._short
        if missing:
            log.info("sweep.tickets_topped_up", **missing)
            await self._push(missing)
        self._short = short - missing

    async def _tickets(self) -> dict[str, int]:
        async with self._client.pipeline(transaction=False) as pipe:
            for level in LEVELS:
                pipe.llen(level)
            return dict(zip(LEVELS, await pipe.execute(), strict=True))

    async def _push(self, counts: Mapping[str, int]) -> None:
        if not counts:
            return
        async with self._client.pipeline(transaction=False) as pipe:
            for level, messages in pushes(counts):
                pipe.lpush(level, *messages)
            await pipe.execute()
