"""The levels' Celery queues in Valkey: tickets published, fetched, put back and counted.

Tickets are pushed on the left and taken from the right, as kombu does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import redis
import structlog
from django.db import transaction
from redis.asyncio import Redis
from redis.exceptions import RedisError

from scheduling.levels import LEVELS
from scheduling.tickets.messages import counted, pushes
from stores import control

log = structlog.get_logger(__name__)
# Of one level at once; the sweep publishes the rest.
MOST_TICKETS = 10_000

# KEYS: queues, the first to be asked first. Replies which of them had a ticket, 0 for none.
_POP_FIRST = """
for i = 1, #KEYS do
    if redis.call('RPOP', KEYS[i]) then return i end
end
return 0
"""


class TicketQueue:
    """The queues from an event loop.

    Raises, in every method: redis.RedisError when Valkey is away.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._pop_first: Any = client.register_script(_POP_FIRST)

    async def publish(self, counts: Mapping[str, int]) -> None:
        """Add so many tickets of each level."""
        sent = [self._client.lpush(level, *messages) for level, messages in pushes(counts)]
        for reply in sent:
            await reply

    async def put_back(self, counts: Mapping[str, int]) -> None:
        """Return tickets to the end of their queues from which they are taken next."""
        sent = [self._client.rpush(level, *messages) for level, messages in pushes(counts)]
        for reply in sent:
            await reply

    async def pop_first(self, levels: Sequence[str]) -> str | None:
        """Take a ticket of the first of these levels that has one; its level."""
        place = await self._pop_first(keys=levels)
        return levels[place - 1] if place else None

    async def pop(self, level: str, most: int) -> int:
        """Take up to `most` tickets of a level; how many there were."""
        return len(await self._client.rpop(level, most) or ()) if most > 0 else 0

    async def lengths(self) -> dict[str, int]:
        """Tickets that wait, by level."""
        lengths = await asyncio.gather(*(self._client.llen(level) for level in LEVELS))
        return dict(zip(LEVELS, lengths, strict=True))


def pop_now(client: redis.Redis, level: str, most: int) -> int:
    """Take up to `most` tickets of a level from Celery's thread; 0 when Valkey is away."""
    if most < 1:
        return 0
    try:
        return len(client.rpop(level, most) or ())
    except RedisError:
        return 0


def publish_on_commit(levels: Iterable[int]) -> None:
    """Publish a ticket for each of these levels once the transaction is committed."""
    counts = counted(levels)
    if counts:
        transaction.on_commit(partial(_publish, counts))


def _publish(counts: dict[str, int]) -> None:
    wanted = {level: min(count, MOST_TICKETS) for level, count in counts.items()}
    try:
        pipe: Any = control.client().pipeline(transaction=False)
        for level, messages in pushes(wanted):
            pipe.lpush(level, *messages)
        pipe.execute()
    except RedisError as error:
        # The rows are committed; the sweep publishes what is missing.
        log.warning("tickets.not_published", error=str(error))
