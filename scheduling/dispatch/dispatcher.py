"""From tickets to running jobs: room first, then the claim, then the endpoint.

Tickets that arrive together are served together: one look at the slots, one claim a level, one
binding. A ticket without a job is dropped when nothing is queued at its level, and put back when
something is queued whose models have no room: then the level stays closed until a slot frees.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import psycopg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from balancing.live.slots import NotReady, Reservation
from scheduling.dispatch.claims import Claimed, Claims
from scheduling.dispatch.level_slots import NO_CAPS, LevelSlots, Share
from scheduling.dispatch.pool import Bound, EndpointPool
from scheduling.levels import LEVELS
from scheduling.models import Priority
from scheduling.tickets.gate import Gate
from scheduling.tickets.messages import level_policy, render
from stores.group_commit import Grouped

log = structlog.get_logger(__name__)

# Starts a job; the last argument ends when its slot is written down.
Start = Callable[[Claimed, Bound, "asyncio.Task[None]"], Awaitable[None]]


class Dispatcher:
    """Serves the tickets of one worker process."""

    def __init__(
        self,
        *,
        claims: Claims,
        pool: EndpointPool,
        levels: LevelSlots,
        gate: Gate,
        client: Redis,
        start: Start,
    ) -> None:
        self._claims = claims
        self._pool = pool
        self._levels = levels
        self._gate = gate
        self._client = client
        self._start = start
        self._serve = Grouped(self._serve_group, limit=64)
        self.accepting = True

    async def serve(self, level: int) -> Awaitable[None] | None:
        """Claim and start the next job of a level; what to await for its end, None if none."""
        return await self._serve(level)

    def take(self, level: int) -> None:
        """Serve a ticket whose end nobody waits for."""
        self._serve.put(level)

    async def _serve_group(self, levels: Sequence[int]) -> list[Awaitable[None] | None]:
        await self._pool.released()
        mark, reserving = self._gate.mark(), self._pool.reserve(len(levels))
        return await self.serve_reserved(levels, reserving, since=mark)

    async def serve_reserved(
        self, levels: Sequence[int], reserving: Awaitable[Reservation], *, since: int
    ) -> list[Awaitable[None] | None]:
        """Serve tickets of these levels, with slots that are being reserved for them.

        Args:
            since: the gate's mark when they began to be.
        """
        started: dict[int, list[Awaitable[None]]] = {}
        room = 0
        try:
            started, room = await self._start_or_put_back(Counter(levels), reserving)
        except (psycopg.OperationalError, RedisError) as error:
            # The tickets are gone; the sweep counts the rows and publishes them again.
            log.warning("dispatch.failed", tickets=len(levels), error=str(error))
        finally:
            self._gate.settle(tickets=len(levels), room=room, since=since)
        return [tasks.pop() if (tasks := started.get(level)) else None for level in levels]

    async def _start_or_put_back(
        self, tickets: Counter[int], reserving: Awaitable[Reservation]
    ) -> tuple[dict[int, list[Awaitable[None]]], int]:
        """Jobs started by level, and how many slots were left."""
        try:
            reservation = await reserving
            if self.accepting:
                return await self._claim_and_bind(tickets, reservation)
            await self._pool.bind(reservation, (), ())
        except NotReady as error:
            log.info("slots.not_ready", seconds=error.seconds)
        await self._put_back(tickets)
        return {}, 0

    async def _claim_and_bind(
        self, tickets: Counter[int], reservation: Reservation
    ) -> tuple[dict[int, list[Awaitable[None]]], int]:
        share = await self._share(tickets, reservation)
        free = self._pool.free(reservation)
        try:
            jobs = await self._claim(tickets, reservation, share)
        except psycopg.OperationalError:
            await self._bind(reservation, share, (), ())
            raise
        bound = self._pool.choose(reservation, jobs)
        # The calls do not wait for the slots to be written down: they are reserved.
        binding = asyncio.create_task(self._bind(reservation, share, jobs, bound))
        started: dict[int, list[Awaitable[None]]] = {}
        for job, endpoint in zip(jobs, bound, strict=True):
            if endpoint is not None:
                task = self._start(job, endpoint, binding)
                started.setdefault(job.level, []).append(task)
        await binding
        homeless = [job for job, endpoint in zip(jobs, bound, strict=True) if endpoint is None]
        for job in homeless:
            self._levels.release(job)
        if homeless:
            await self._claims.give_back(homeless, wrote=False)
        unserved = Counter({level: n - len(started.get(level, ())) for level, n in tickets.items()})
        if +unserved:
            room = self._pool.room_by_model(reservation, jobs)
            await self._settle_unserved(+unserved, room, self._pool.apis_by_model(reservation))
        return started, free - sum(map(len, started.values()))

    async def _share(self, tickets: Counter[int], reservation: Reservation) -> Share:
        """Slots of the levels that have caps."""
        if not self._levels.caps:
            return NO_CAPS
        counts = {LEVELS[level]: count for level, count in tickets.items()}
        try:
            return await self._levels.reserve(counts)
        except RedisError:
            await self._pool.bind(reservation, (), ())
            raise

    async def _bind(
        self,
        reservation: Reservation,
        share: Share,
        jobs: Sequence[Claimed],
        bound: Sequence[Bound | None],
    ) -> None:
        await self._pool.bind(reservation, jobs, bound)
        await self._levels.hold(share, jobs)

    async def _claim(
        self, tickets: Counter[int], reservation: Reservation, share: Share
    ) -> list[Claimed]:
        jobs: list[Claimed] = []
        apis = self._pool.apis_by_model(reservation)
        for level in sorted(tickets):
            if self._gate.is_paused(Priority(level).queue):
                # Taken before the pause was known here; it goes back to its queue.
                continue
            room = self._pool.room_by_model(reservation, jobs)
            if not room:
                break
            if limit := share.limit(LEVELS[level], tickets[level]):
                jobs += await self._claims.claim(level, limit=limit, room=room, apis=apis)
        return jobs

    async def _settle_unserved(
        self,
        unserved: Counter[int],
        room: Mapping[str, int],
        apis: Mapping[str, frozenset[str]],
    ) -> None:
        for level, count in unserved.items():
            name = Priority(level).queue
            for _ in range(count):
                level_policy().refund(name)
            any_model, with_room = await self._claims.waiting(level, list(room), apis)
            if not any_model:
                continue
            if room and not with_room:
                self._gate.close(name)
            await self._put_back(Counter({level: count}))

    async def _put_back(self, tickets: Counter[int]) -> None:
        """Return tickets to the end of their queues from which they are taken next."""
        async with self._client.pipeline(transaction=False) as pipe:
            for level, count in tickets.items():
                name = Priority(level).queue
                pipe.rpush(name, *(render(name) for _ in range(count)))
            await pipe.execute()
