"""A dispatcher with stub collaborators and a real Valkey, for tests of what serves tickets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, cast

from redis.asyncio import Redis

from balancing.endpoints.registry import Target
from balancing.live.slots import Reservation
from scheduling.dispatch.claims import Claimed, Claims
from scheduling.dispatch.dispatcher import Dispatcher
from scheduling.dispatch.level_slots import LevelSlots
from scheduling.dispatch.pool import Bound, EndpointPool
from scheduling.levels import LEVELS
from scheduling.tickets.gate import Gate
from tests.hot_path import MODEL, claimed


class StubPool:
    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.error: Exception | None = None
        self.homeless = False
        self.bound: list[Claimed] = []
        self.binds = 0

    async def reserve(self, wanted: int) -> Reservation:
        if self.error:
            raise self.error
        return Reservation("t", wanted, {})

    def free(self, reservation: Reservation) -> int:
        return self.slots

    def room_by_model(
        self, reservation: Reservation, claimed: Sequence[Claimed] = ()
    ) -> dict[str, int]:
        left = min(self.slots, reservation.wanted) - len(claimed)
        return {MODEL: left} if left > 0 else {}

    def apis_by_model(self, reservation: Reservation) -> dict[str, frozenset[str]]:
        return {MODEL: frozenset({"chat"})}

    def choose(
        self, reservation: Reservation, jobs: Sequence[Claimed], tried: frozenset[int] = frozenset()
    ) -> list[Bound | None]:
        if self.homeless:
            return [None for _ in jobs]
        target = Target(1, "e", "http://e", frozenset([MODEL]), "", 1.0, 4, "enabled")
        return [Bound(target, "{}") for _ in jobs]

    async def released(self) -> None:
        pass

    async def bind(self, reservation: Any, jobs: Sequence[Claimed], bound: Any) -> None:
        self.binds += 1
        self.bound += [job for job, found in zip(jobs, bound, strict=True) if found]


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
        self, client: Redis, *, slots: int = 4, queued: Mapping[int, int] | None = None
    ) -> None:
        self.pool = StubPool(slots)
        self.claims = StubClaims(queued or {})
        self.gate = Gate()
        self.gate.activate()
        self.started: list[Claimed] = []
        self.finish = asyncio.Event()
        self.levels = LevelSlots(client, self.gate, lease_seconds=30, reservation_seconds=2)
        self.dispatcher = Dispatcher(
            claims=cast(Claims, self.claims),
            pool=cast(EndpointPool, self.pool),
            levels=self.levels,
            gate=self.gate,
            client=client,
            start=self.start,
        )

    def start(self, job: Claimed, bound: Bound, binding: asyncio.Task[None]) -> Awaitable[None]:
        async def run() -> None:
            await self.finish.wait()

        self.started.append(job)
        return asyncio.create_task(run())

    async def serve(self, *levels: int) -> list[Awaitable[None] | None]:
        self.gate.take(len(levels))
        found = await asyncio.gather(*map(self.dispatcher.serve, levels))
        self.finish.set()
        await asyncio.gather(*(ending for ending in found if ending is not None))
        return found

    def in_hand(self) -> int:
        """Tickets that the gate believes to be under way."""
        self.gate.settle(tickets=0, room=100, since=self.gate.mark())
        return 100 - self.gate.spare


async def tickets(valkey: Redis) -> dict[str, int]:
    lengths = {level: await valkey.llen(level) for level in LEVELS}
    return {level: length for level, length in lengths.items() if length}
