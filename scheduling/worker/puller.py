"""Tickets that the engine fetches itself, when a slot frees while more of them wait.

While every slot is busy Celery's hub is asleep. To wake it, to let it ask and to decode its answer
keeps a freed slot empty for 3 ms. So in the direct gear the loop that freed the slot asks for the
next ticket, in the order of the same level policy, and reserves the slot in the same write.
Celery's hub still waits for the tickets that this loop did not find. While somebody listens to
task events the hub fetches every ticket.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from redis.exceptions import RedisError

from balancing.live.slots import NotReady
from scheduling.dispatch.room import ModelRoom
from scheduling.models import Priority
from scheduling.tickets.gate import MOST_AT_ONCE, TicketGate
from scheduling.tickets.queue import TicketQueue
from scheduling.worker.desk import Reserves, TicketDesk

log = structlog.get_logger(__name__)


class Puller:
    """Fetches tickets for one worker process; lives on the engine's loop.

    Attributes:
        is_allowed: whether it may fetch now; says no until somebody sets it.
    """

    def __init__(
        self, *, gate: TicketGate, queue: TicketQueue, pool: Reserves, desk: TicketDesk
    ) -> None:
        self._gate = gate
        self._queue = queue
        self._pool = pool
        self._desk = desk
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
        await self._pool.freed()
        order = self._gate.policy.order(self._gate.open_levels())
        if not order:
            return False
        mark, wanted = self._gate.mark(), min(self._gate.spare, MOST_AT_ONCE)
        reserving = asyncio.create_task(self._pool.reserve(wanted))
        level, tickets = None, 0
        try:
            level = await self._queue.pop_first(order)
            if level is not None:
                tickets = self._gate.taken(level)
                more = await self._queue.pop(level, min(wanted - 1, self._gate.burst(level)))
                tickets += self._gate.taken(level, more)
        finally:
            if level is not None and tickets:
                levels = [Priority.named(level)] * tickets
                self._keep(self._desk.serve_reserved(levels, reserving, since=mark))
            else:
                self._keep(self._give_back(reserving))
        return tickets > 0

    async def _give_back(self, reserving: asyncio.Task[ModelRoom]) -> None:
        try:
            await self._pool.give_back(await reserving)
        except (RedisError, NotReady):
            return  # it expires

    def _keep(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
