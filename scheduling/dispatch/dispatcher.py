"""From tickets to jobs that can start: room first, then the claim, then the endpoint.

Tickets that arrive together are served together: one look at the slots, one claim a level, one
round of placing. A ticket without a job is dropped when nothing is queued at its level. It is put
back when something is queued whose models have no room: then the level stays closed until a slot
frees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psycopg
import structlog
from redis.exceptions import RedisError

from balancing.live.slots import NotReady
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.level_slots import NO_CAPS, LevelSlots, Share
from scheduling.dispatch.pool import Placed
from scheduling.dispatch.room import ModelRoom
from scheduling.dispatch.slot import Slot
from scheduling.levels import LEVELS
from scheduling.models import Priority
from scheduling.tickets.gate import TicketGate
from scheduling.tickets.queue import TicketQueue

log = structlog.get_logger(__name__)


class Rows(Protocol):
    """The rows of waiting jobs; `scheduling.dispatch.claims.Claims`."""

    async def claim(
        self, level: int, *, limit: int, room: Mapping[str, int], apis: Mapping[str, frozenset[str]]
    ) -> list[Claimed]: ...

    async def waiting(
        self, level: int, models: Sequence[str], apis: Mapping[str, frozenset[str]]
    ) -> tuple[bool, bool]: ...

    async def give_back(self, jobs: Sequence[Claimed], *, wrote: bool) -> int: ...


class Places(Protocol):
    """Slots for claimed jobs; `scheduling.dispatch.pool.EndpointPool`."""

    def place(self, room: ModelRoom, jobs: Sequence[Claimed]) -> Placed: ...

    async def give_back(self, room: ModelRoom) -> None: ...


@dataclass(slots=True)
class Dispatched:
    """What a group of tickets came to.

    Attributes:
        tickets: by level.
        since: the gate's mark when their slots began to be reserved.
        ready: claimed jobs with their slots, to be started at once.
        homeless: claimed jobs for which no endpoint had room after all.
        room: what was reserved for the group; None where no slots were given.
    """

    tickets: Counter[int]
    since: int
    ready: list[tuple[Claimed, Slot]] = field(default_factory=list)
    homeless: list[Claimed] = field(default_factory=list)
    room: ModelRoom | None = None
    has_failed: bool = False
    _writing: list[Awaitable[None]] = field(default_factory=list)

    def place(self, jobs: Sequence[Claimed], placed: Placed, holding: Awaitable[None]) -> None:
        """Split the jobs by whether they have a slot."""
        for job, slot in zip(jobs, placed.slots, strict=True):
            if slot is None:
                self.homeless.append(job)
            else:
                self.ready.append((job, slot))
        self._writing = [placed.confirmed, holding]

    async def written(self) -> None:
        """Wait until the slots of the ready jobs are written down."""
        for work in self._writing:
            await work

    @property
    def unserved(self) -> Counter[int]:
        """Tickets for which no job starts, by level."""
        return self.tickets - Counter(job.level for job, _ in self.ready)


class Dispatcher:
    """Claims for the tickets of one worker process.

    First `claim`, then start what is ready, then `conclude`.
    """

    def __init__(
        self,
        *,
        claims: Rows,
        pool: Places,
        levels: LevelSlots,
        gate: TicketGate,
        queue: TicketQueue,
    ) -> None:
        self._claims = claims
        self._pool = pool
        self._levels = levels
        self._gate = gate
        self._queue = queue
        self.accepting = True

    async def claim(
        self, levels: Sequence[int], reserving: Awaitable[ModelRoom], *, since: int
    ) -> Dispatched:
        """Claim jobs for tickets of these levels, with slots that are being reserved for them.

        Args:
            since: the gate's mark when they began to be.
        """
        group = Dispatched(Counter(levels), since)
        try:
            await self._claim(group, reserving)
        except (psycopg.OperationalError, RedisError) as error:
            self._fail(group, error)
        except BaseException:
            self._gate.update(tickets=len(levels), room=0, since=since)
            raise
        return group

    async def conclude(self, group: Dispatched) -> None:
        """Give back what did not start, and tell the gate what room is left."""
        room = 0
        try:
            if not group.has_failed:
                room = await self._conclude(group)
        except (psycopg.OperationalError, RedisError) as error:
            self._fail(group, error)
        finally:
            self._gate.update(tickets=group.tickets.total(), room=room, since=group.since)

    def _fail(self, group: Dispatched, error: Exception) -> None:
        # The tickets are gone; the sweep counts the rows and publishes them again.
        log.warning("dispatch.failed", tickets=group.tickets.total(), error=str(error))
        group.has_failed = True

    async def _claim(self, group: Dispatched, reserving: Awaitable[ModelRoom]) -> None:
        try:
            room = await reserving
        except NotReady as error:
            log.info("slots.not_ready", seconds=error.seconds)
            return
        if not self.accepting:
            await self._pool.give_back(room)
            return
        share = await self._share(group.tickets, room)
        try:
            jobs = await self._claim_by_level(group.tickets, room, share)
        except psycopg.OperationalError:
            await self._give_back(room, share)
            raise
        group.room = room
        placed = self._pool.place(room, jobs)
        group.place(jobs, placed, self._levels.hold(share, jobs))

    async def _share(self, tickets: Counter[int], room: ModelRoom) -> Share:
        """Slots of the levels that have caps."""
        if not self._levels.caps:
            return NO_CAPS
        counts = {LEVELS[level]: count for level, count in tickets.items()}
        try:
            return await self._levels.reserve(counts)
        except RedisError:
            await self._pool.give_back(room)
            raise

    async def _give_back(self, room: ModelRoom, share: Share) -> None:
        await self._pool.give_back(room)
        await self._levels.hold(share, ())

    async def _claim_by_level(
        self, tickets: Counter[int], room: ModelRoom, share: Share
    ) -> list[Claimed]:
        jobs: list[Claimed] = []
        for level in sorted(tickets):
            if self._gate.is_paused(Priority(level).queue):
                # Taken before the pause was known here; the ticket goes back to its queue.
                continue
            if not room.slots:
                break
            if limit := share.limit(LEVELS[level], tickets[level]):
                found = await self._claims.claim(
                    level, limit=limit, room=room.slots, apis=room.apis
                )
                room.claimed(found)
                jobs += found
        return jobs

    async def _conclude(self, group: Dispatched) -> int:
        """How many of the free slots are left."""
        if group.room is None:
            await self._put_back(group.tickets)
            return 0
        await group.written()
        for job in group.homeless:
            self._levels.release(job)
        if group.homeless:
            await self._claims.give_back(group.homeless, wrote=False)
        if unserved := group.unserved:
            await self._return_unserved(unserved, group.room)
        return group.room.free - len(group.ready)

    async def _return_unserved(self, unserved: Counter[int], room: ModelRoom) -> None:
        for level, count in unserved.items():
            name = Priority(level).queue
            for _ in range(count):
                self._gate.policy.refund(name)
            any_model, with_room = await self._claims.waiting(level, list(room.slots), room.apis)
            if not any_model:
                continue
            if room.slots and not with_room:
                self._gate.close(name)
            await self._put_back(Counter({level: count}))

    async def _put_back(self, tickets: Mapping[int, int]) -> None:
        await self._queue.put_back({LEVELS[level]: count for level, count in tickets.items()})
