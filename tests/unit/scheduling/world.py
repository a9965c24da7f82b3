"""A ticket desk with stub neighbours and a real Valkey, for tests of what serves tickets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from redis.asyncio import Redis

from balancing.endpoints.registry import Target
from balancing.live.slots import Reservation
from balancing.live.slots import Room as EndpointRoom
from balancing.live.state import Ending
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.dispatcher import Dispatcher
from scheduling.dispatch.level_slots import LevelSlots
from scheduling.dispatch.pool import Placed
from scheduling.dispatch.room import ModelRoom
from scheduling.dispatch.slot import Placement, Slot
from scheduling.levels import LEVELS
from scheduling.policies.levels import LevelPolicy
from scheduling.tickets.gate import TicketGate
from scheduling.tickets.queue import TicketQueue
from scheduling.worker.desk import TicketDesk
from tests.hot_path import MODEL, claimed

TARGET = Target(1, "e", "http://e", frozenset([MODEL]), "", 1.0, 4, "enabled")


class StubPool:
    """One endpoint with so many free slots."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.error: Exception | None = None
        self.homeless = False
        self.placed: list[Claimed] = []
        self.rounds = 0

    async def reserve(self, wanted: int) -> ModelRoom:
        if self.error:
            raise self.error
        rooms = {TARGET.id: EndpointRoom(0, min(self.slots, wanted), self.slots)}
        return ModelRoom(Reservation("t", wanted, rooms), {TARGET.id: TARGET})

    def place(self, room: ModelRoom, jobs: Sequence[Claimed]) -> Placed:
        self.rounds += 1
        done = asyncio.create_task(asyncio.sleep(0))
        if self.homeless:
            return Placed([None for _ in jobs], done)
        self.placed += jobs
        return Placed([Slot(Placement(TARGET, "{}"), job.lease, self, done) for job in jobs], done)

    async def give_back(self, room: ModelRoom) -> None:
        self.rounds += 1

    async def free(self, ending: Ending) -> None:
        return

    async def freed(self) -> None:
        return


class StubClaims:
    """`queued` jobs a level; `elsewhere` wait for models that have no room."""

    def __init__(self, queued: Mapping[int, int]) -> None:
        self.queued = dict(queued)
        self.elsewhere: set[int] = set()
        self.error: Exception | None = None
        self.returned: list[Claimed] = []

    async def claim(
        self, level: int, *, limit: int, room: Mapping[str, int], apis: Mapping[str, frozenset[str]]
    ) -> list[Claimed]:
        if self.error:
            raise self.error
        assert room.keys() <= apis.keys()
        count = min(limit, sum(room.values()), self.queued.get(level, 0))
        self.queued[level] = self.queued.get(level, 0) - count
        return [claimed(level=level) for _ in range(count)]

    async def waiting(
        self, level: int, models: Sequence[str], apis: Mapping[str, frozenset[str]]
    ) -> tuple[bool, bool]:
        here = self.queued.get(level, 0) > 0
        return here or level in self.elsewhere, here and bool(models)

    async def give_back(self, jobs: Sequence[Claimed], *, wrote: bool) -> int:
        assert not wrote
        self.returned += jobs
        return len(jobs)


class World:
    def __init__(
        self,
        client: Redis,
        *,
        slots: int = 4,
        queued: Mapping[int, int] | None = None,
        policy: LevelPolicy | None = None,
    ) -> None:
        self.pool = StubPool(slots)
        self.claims = StubClaims(queued or {})
        self.gate = TicketGate(policy)
        self.gate.activate()
        self.started: list[Claimed] = []
        self.finish = asyncio.Event()
        self.levels = LevelSlots(client, self.gate, lease_seconds=30, reservation_seconds=2)
        self.queue = TicketQueue(client)
        self.dispatcher = Dispatcher(
            claims=self.claims,
            pool=self.pool,
            levels=self.levels,
            gate=self.gate,
            queue=self.queue,
        )
        self.desk = TicketDesk(
            gate=self.gate,
            pool=self.pool,
            levels=self.levels,
            dispatcher=self.dispatcher,
            runner=self,
        )

    async def run(self, job: Claimed, slot: Slot) -> None:
        self.started.append(job)
        await self.finish.wait()

    async def begin(self, *levels: int) -> list[Awaitable[None] | None]:
        """Serve tickets; the ends of the jobs that they got and that run now."""
        self.gate.take(len(levels))
        return await asyncio.gather(*map(self.desk._serve, levels))

    async def serve(self, *levels: int) -> list[Awaitable[None] | None]:
        """Serve tickets to the ends of the jobs that they got."""
        found = await self.begin(*levels)
        self.finish.set()
        await asyncio.gather(*(ending for ending in found if ending is not None))
        return found

    def in_hand(self) -> int:
        """Tickets that the gate believes to be under way."""
        self.gate.update(tickets=0, room=100, since=self.gate.mark())
        return 100 - self.gate.spare


async def tickets(valkey: Redis) -> dict[str, int]:
    lengths = {level: await valkey.llen(level) for level in LEVELS}
    return {level: length for level, length in lengths.items() if length}
