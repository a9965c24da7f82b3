"""Where tickets come in: what they are good for is claimed, and what was claimed is started."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.dispatcher import Dispatcher
from scheduling.dispatch.level_slots import LevelSlots
from scheduling.dispatch.room import ModelRoom
from scheduling.dispatch.slot import Slot
from scheduling.tickets.gate import TicketGate
from stores.group_commit import Grouped

Ending = Awaitable[None]


class Reserves(Protocol):
    """Slots, before anybody knows for which jobs; `scheduling.dispatch.pool.EndpointPool`."""

    async def reserve(self, wanted: int) -> ModelRoom: ...

    async def freed(self) -> None: ...

    async def give_back(self, room: ModelRoom) -> None: ...


class Runs(Protocol):
    """Takes a job to its end; `scheduling.execution.runner.Runner`."""

    async def run(self, job: Claimed, slot: Slot) -> None: ...


class TicketDesk:
    """Serves the tickets of one worker process; lives on the engine's loop."""

    def __init__(
        self,
        *,
        gate: TicketGate,
        pool: Reserves,
        levels: LevelSlots,
        dispatcher: Dispatcher,
        runner: Runs,
    ) -> None:
        self._gate = gate
        self._pool = pool
        self._levels = levels
        self._dispatcher = dispatcher
        self._runner = runner
        self._serve = Grouped(self._serve_group, limit=64)

    async def serve(self, level: int) -> None:
        """Serve one ticket, to the end of the job it got, if it got one."""
        ending = await self._serve(level)
        if ending is not None:
            await ending

    def take(self, level: int) -> None:
        """Serve a ticket whose end nobody waits for."""
        self._serve.put(level)

    async def _serve_group(self, levels: Sequence[int]) -> list[Ending | None]:
        await self._pool.freed()
        mark = self._gate.mark()
        return await self.serve_reserved(levels, self._pool.reserve(len(levels)), since=mark)

    async def serve_reserved(
        self, levels: Sequence[int], reserving: Awaitable[ModelRoom], *, since: int
    ) -> list[Ending | None]:
        """Serve tickets of these levels, with slots that are being reserved for them.

        Args:
            since: the gate's mark when they began to be.

        Returns:
            For each ticket the end of the job it got, None if it got none.
        """
        group = await self._dispatcher.claim(levels, reserving, since=since)
        started: dict[int, list[Ending]] = {}
        for job, slot in group.ready:
            started.setdefault(job.level, []).append(self._start(job, slot))
        await self._dispatcher.conclude(group)
        return [tasks.pop() if (tasks := started.get(level)) else None for level in levels]

    def _start(self, job: Claimed, slot: Slot) -> Ending:
        task = asyncio.create_task(self._runner.run(job, slot))
        task.add_done_callback(lambda _: self._levels.release(job))
        return task
