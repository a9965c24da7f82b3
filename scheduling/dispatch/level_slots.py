"""How many slots each level holds over all workers, and which tickets that leaves room for.

One sorted set a capped level in Valkey: member = a job's lease, score = when it expires. What a
killed worker held expires; what Valkey forgot, heartbeats write down again. Only levels with a cap
are counted: without one nothing here touches Valkey. Where there is one, it costs each group of
tickets a round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import redis
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from scheduling.dispatch.claimed import Claimed
from scheduling.levels import LEVELS
from scheduling.tickets.gate import TicketGate

log = structlog.get_logger(__name__)
CAPS = "llmq:levels:caps"
CAPS_EXPIRY_SECONDS = 30

# KEYS: a set a level. ARGV: token, reservation ms, then cap and wanted slots each.
# Replies {used_1, reserved_1, used_2, ...}.
_RESERVE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local reply = {}
for i = 1, #KEYS do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    local used = redis.call('ZCARD', KEYS[i])
    local take = math.max(0, math.min(tonumber(ARGV[2 * i + 2]), tonumber(ARGV[2 * i + 1]) - used))
    for n = 1, take do
        redis.call('ZADD', KEYS[i], now + tonumber(ARGV[2]), ARGV[1] .. ':' .. n)
    end
    if take > 0 then redis.call('PEXPIRE', KEYS[i], 3600000) end
    reply[#reply + 1] = used
    reply[#reply + 1] = take
end
return reply
"""

# KEYS: a set a level. ARGV: token, reserved slots at the most, lease ms, then a list of leases a
# level, separated by commas.
_HOLD = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 1, #KEYS do
    for n = 1, tonumber(ARGV[2]) do
        redis.call('ZREM', KEYS[i], ARGV[1] .. ':' .. n)
    end
    for lease in string.gmatch(ARGV[i + 3], '[^,]+') do
        redis.call('ZADD', KEYS[i], now + tonumber(ARGV[3]), lease)
        redis.call('PEXPIRE', KEYS[i], 3600000)
    end
end
return 1
"""


def key(level: str) -> str:
    return f"llmq:levels:{level}"


class Share:
    """What a group of tickets may claim: slots reserved by level; absent is without limit."""

    def __init__(self, token: str = "", reserved: Mapping[str, int] | None = None) -> None:
        self.token = token
        self.reserved = dict(reserved or {})

    def limit(self, level: str, tickets: int) -> int:
        return min(tickets, self.reserved.get(level, tickets))


NO_CAPS = Share()


class LevelSlots:
    """The capped levels' slots, on behalf of one worker process."""

    def __init__(
        self, client: Redis, gate: TicketGate, *, lease_seconds: float, reservation_seconds: float
    ) -> None:
        self._client = client
        self._gate = gate
        self._lease_ms = int(lease_seconds * 1000)
        self._reservation_ms = int(reservation_seconds * 1000)
        self._reserve = client.register_script(_RESERVE)
        self._hold = client.register_script(_HOLD)
        self._releasing: set[asyncio.Task[None]] = set()
        # Lease -> its level, and what writes it down.
        self._held: dict[str, tuple[str, asyncio.Task[None] | None]] = {}
        self.caps: Mapping[str, int] = {}

    async def follow(self, caps: Mapping[str, int]) -> None:
        """Keep to these caps from now on, and show them to whoever looks.

        Raises:
            redis.RedisError: Valkey is away; the caps count nevertheless.
        """
        lifted = set(self.caps) - set(caps)
        self.caps = dict(caps)
        self._gate.cap(self._gate.capped - lifted)
        if caps:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.delete(CAPS)
                pipe.hset(CAPS, mapping={level: str(cap) for level, cap in caps.items()})
                pipe.expire(CAPS, CAPS_EXPIRY_SECONDS)
                await pipe.execute()

    async def reserve(self, tickets: Mapping[str, int]) -> Share:
        """Slots for so many tickets of each level, held for the reservation time.

        Raises:
            redis.RedisError: Valkey is away.
        """
        levels = [level for level in tickets if level in self.caps]
        if not levels:
            return NO_CAPS
        token = uuid4().hex[:16]
        figures = [n for level in levels for n in (self.caps[level], tickets[level])]
        reply: list[Any] = await self._reserve(
            keys=[key(level) for level in levels], args=[token, self._reservation_ms, *figures]
        )
        reserved = dict(zip(levels, reply[1::2], strict=True))
        full = {
            level
            for level, used in zip(levels, reply[::2], strict=True)
            if used + reserved[level] >= self.caps[level]
        }
        self._gate.cap((self._gate.capped - set(levels)) | full)
        return Share(token, reserved)

    async def look(self) -> None:
        """Which levels are at their caps: workers elsewhere free slots, too."""
        await self.reserve(dict.fromkeys(self.caps, 0))

    def hold(self, share: Share, jobs: Sequence[Claimed]) -> Awaitable[None]:
        """Turn what was reserved into the jobs' slots and give back the rest.

        The jobs may start, and even end, before the returned work does.
        """
        if not share.reserved:
            nothing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            nothing.set_result(None)
            return nothing
        mine = [job for job in jobs if LEVELS[job.level] in share.reserved]
        holding = asyncio.create_task(self._write_down(share, mine))
        self._held |= {job.lease: (LEVELS[job.level], holding) for job in mine}
        return holding

    async def _write_down(self, share: Share, jobs: Sequence[Claimed]) -> None:
        leases = [
            ",".join(job.lease for job in jobs if LEVELS[job.level] == level)
            for level in share.reserved
        ]
        try:
            await self._hold(
                keys=[key(level) for level in share.reserved],
                args=[share.token, max(share.reserved.values()), self._lease_ms, *leases],
            )
        except RedisError as error:
            log.warning("levels.hold_waits", jobs=len(jobs), error=str(error))

    async def renew(self, jobs: Iterable[Claimed]) -> None:
        """Keep the slots of what runs, and take those of levels that were capped meanwhile."""
        running: dict[str, list[str]] = {level: [] for level in self.caps}
        for job in jobs:
            if (level := LEVELS[job.level]) in running:
                running[level].append(job.lease)
                self._held.setdefault(job.lease, (level, None))
        levels = [level for level, leases in running.items() if leases]
        if levels:
            leases = [",".join(running[level]) for level in levels]
            args: list[Any] = ["", 0, self._lease_ms, *leases]
            await self._hold(keys=[key(level) for level in levels], args=args)

    def release(self, job: Claimed) -> None:
        """A job has ended: its level has room again."""
        held = self._held.pop(job.lease, None)
        if held is not None:
            task = asyncio.create_task(self._free(*held, job.lease))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _free(self, level: str, holding: asyncio.Task[None] | None, lease: str) -> None:
        if holding is not None:
            await holding
        try:
            await self._client.zrem(key(level), lease)
        except RedisError as error:
            log.info("levels.release_waits", level=level, error=str(error))  # it expires
        self._gate.uncap(level)


def shown(client: redis.Redis) -> dict[str, tuple[int, int]]:
    """Level -> (slots in use, cap) of the capped levels, as the workers last said.

    Raises:
        redis.RedisError: Valkey is away.
    """
    caps: Any = client.hgetall(CAPS)
    moment: Any = client.time()
    now = moment[0] * 1000 + moment[1] // 1000
    names = [level for level in LEVELS if level.encode() in caps]
    with client.pipeline(transaction=False) as pipe:
        for level in names:
            pipe.zcount(key(level), now, "+inf")
        used = pipe.execute()
    return {
        level: (count, int(caps[level.encode()])) for level, count in zip(names, used, strict=True)
    }
