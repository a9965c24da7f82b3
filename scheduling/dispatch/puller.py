"""Tickets that the engine fetches itself, when a slot frees while more of them wait.

While every slot is busy Celery's hub is asleep, and to wake it, let it ask and have its answer
decoded keeps a freed slot empty for 3 ms. So in the direct gear the loop that freed the slot asks
for the next ticket, in the order of the same level policy, and for the slot in the same write. What
it does not find the hub waits for, as ever; and while somebody listens to task events the hub
fetches all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from balancing.live.slots import NotReady, Reservation
from scheduling.dispatch.dispatcher import Dispatcher
from scheduling.dispatch.pool import EndpointPool
from scheduling.levels import LEVELS
from scheduling.models import Priority
from scheduling.tickets.gate import Gate
from scheduling.tickets.messages import MOST_AT_ONCE, level_policy

log = structlog.get_logger(__name__)

# KEYS: queues, the first to be asked first. Replies which of them had a ticket, 0 for none.
_POP = """
for i = 1, #KEYS do
    if redis.call('RPOP', KEYS[i]) then return i end
end
return 0
"""


class Puller:
    """Fetches for one worker process; lives on the engine's loop."""

    def __init__(
        self, *, gate: Gate, client: Redis, pool: EndpointPool, dispatcher: Dispatcher
    ) -> None:
        self._gate = gate
        self._client = client
        self._pool = pool
        self._dispatcher = dispatcher
        self._pop: Any = client.register_script(_POP)
        self._pulling: asyncio.Task[None] | None = None
        self._serving: set[asyncio.Task[Any]] = set()
        self.is_allowed: Callable[[], bool] = lambda: False

    def room_appeared(self) -> bool:
        """Fetch what may be taken now; False when that is the hub's to do."""
        if not self.is_allowed():
            return False
        if self._pulling is None:
            self._pulling = asyncio.create_task(self._pull())
        return True

    async def _pull(self) -> None:
        try:
            while self._gate.spare and await self._next():
                pass
        except RedisError as error:
            log.info("tickets.not_pulled", error=str(error))
        finally:
            self._pulling = None
        if self._gate.spare:
            self._gate.wake()

    async def _next(self) -> bool:
        """Serve tickets of the first level that has any; False when none has."""
        await self._pool.released()
        order = level_policy().order(self._gate.open_levels())
        if not order:
            return False
        mark, wanted = self._gate.mark(), min(self._gate.spare, MOST_AT_ONCE)
        reserving = asyncio.create_task(self._pool.reserve(wanted))
        tickets = 0
        try:
            if place := await self._pop(keys=order):
                level = order[place - 1]
                tickets = self._got(level, 1)
                tickets += await self._more(level, wanted - 1)
        finally:
            if tickets:
                served = [Priority.named(level)] * tickets
                self._keep(self._dispatcher.serve_reserved(served, reserving, since=mark))
            else:
                self._keep(self._give_back(reserving))
        return tickets > 0

    async def _more(self, level: str, most: int) -> int:
        """Further tickets of a level, as many as its betters let pass."""
        wanted = min(most, level_policy().burst(level, LEVELS)) if most else 0
        if wanted < 1:
            return 0
        return self._got(level, len(await self._client.rpop(level, wanted) or ()))

    def _got(self, level: str, tickets: int) -> int:
        self._gate.take(tickets)
        for _ in range(tickets):
            level_policy().charge(level)
        return tickets

    async def _give_back(self, reserving: asyncio.Task[Reservation]) -> None:
        try:
            await self._pool.bind(await reserving, (), ())
        except (RedisError, NotReady):
            return  # it expires

    def _keep(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
