"""Who holds which slot of an endpoint: leases in Valkey, the same for every worker.

One sorted set an endpoint: member = lease, score = when it expires, in milliseconds of Valkey's
own clock (workers' clocks may differ). A dead worker's slots free themselves; a reservation is a
slot that expires within seconds and becomes a lease when a job is bound to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import redis
from redis.asyncio import Redis

from balancing.rates import NOTHING_LIMITED, Allowance

EPOCH = "llmq:slots:epoch"

# KEYS: epoch, then a set an endpoint. ARGV: token, wanted slots, reservation ms, then max each.
# Replies {-1} when the epoch is missing (Valkey lost its memory), {0, ms} while running calls
# are still to register again, else {1, used_1, reserved_1, used_2, ...}.
_RESERVE = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ready = redis.call('GET', KEYS[1])
if not ready then return {-1} end
if tonumber(ready) > now then return {0, tonumber(ready) - now} end
local reply = {1}
for i = 2, #KEYS do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    local used = redis.call('ZCARD', KEYS[i])
    local take = math.max(0, math.min(tonumber(ARGV[2]), tonumber(ARGV[i + 2]) - used))
    for n = 1, take do
        redis.call('ZADD', KEYS[i], now + tonumber(ARGV[3]), ARGV[1] .. ':' .. n)
    end
    if take > 0 then redis.call('PEXPIRE', KEYS[i], 3600000) end
    reply[#reply + 1] = used
    reply[#reply + 1] = take
end
return reply
"""

# KEYS: a set an endpoint. ARGV: token, reserved slots at the most, lease ms, then a list of
# leases an endpoint, separated by commas. A reservation that expired meanwhile is no obstacle:
# the excess lasts one call and reservations outlive any healthy claim a thousand times.
_BIND = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 1, #KEYS do
    for n = 1, tonumber(ARGV[2]) do
        if redis.call('ZREM', KEYS[i], ARGV[1] .. ':' .. n) == 0 then break end
    end
    for lease in string.gmatch(ARGV[i + 3], '[^,]+') do
        redis.call('ZADD', KEYS[i], now + tonumber(ARGV[3]), lease)
        redis.call('PEXPIRE', KEYS[i], 3600000)
    end
end
return 1
"""

# KEYS: epoch, one set. ARGV: lease ms, then leases. Leases that are gone were released and stay so,
# except before slots are given again: then a Valkey that lost its memory learns them anew.
_RENEW = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ready = redis.call('GET', KEYS[1])
local learning = not ready or tonumber(ready) > now
for i = 2, #ARGV do
    if learning then
        redis.call('ZADD', KEYS[2], now + tonumber(ARGV[1]), ARGV[i])
    else
        redis.call('ZADD', KEYS[2], 'XX', now + tonumber(ARGV[1]), ARGV[i])
    end
end
redis.call('PEXPIRE', KEYS[2], 3600000)
return 1
"""

_OPEN = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
return redis.call('SET', KEYS[1], now + tonumber(ARGV[1]), 'NX')
"""


def key(endpoint_id: int) -> str:
    return f"llmq:slots:{endpoint_id}"


@dataclass(frozen=True, slots=True)
class Room:
    """One endpoint's share of a reservation: slots used by others, and reserved for us."""

    used: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Reservation:
    token: str
    wanted: int
    rooms: Mapping[int, Room]
    allowance: Allowance = NOTHING_LIMITED

    def within(self, allowance: Allowance) -> Reservation:
        """The same, with no more slots of an endpoint than its rate limits allow requests."""
        rooms = {
            endpoint: replace(room, reserved=min(room.reserved, allowance.taken[endpoint]))
            if endpoint in allowance.taken
            else room
            for endpoint, room in self.rooms.items()
        }
        return replace(self, rooms=rooms, allowance=allowance)


class NotReady(Exception):
    """No slot may be given yet: running calls are registering again after a restart."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"slots open in {seconds:.1f} s")
        self.seconds = seconds


class EpochMissing(Exception):
    """Valkey has no memory of any slot: call `open_epoch` first."""


class Slots:
    """The slots of all endpoints, through one Valkey client.

    Raises, in every method: redis.RedisError when Valkey is away.
    """

    def __init__(self, client: Redis, *, lease_seconds: float, reservation_seconds: float) -> None:
        self._client = client
        self._lease_ms = int(lease_seconds * 1000)
        self._reservation_ms = int(reservation_seconds * 1000)
        self._reserve = client.register_script(_RESERVE)
        self._bind = client.register_script(_BIND)
        self._renew = client.register_script(_RENEW)
        self._open = client.register_script(_OPEN)

    async def open_epoch(self, *, quiet_seconds: float) -> None:
        """Let slots be given from `quiet_seconds` on, unless someone already said when."""
        await self._open(keys=[EPOCH], args=[int(quiet_seconds * 1000)])

    async def reserve(self, limits: Mapping[int, int], wanted: int) -> Reservation:
        """Up to `wanted` slots of each endpoint, held for the reservation time.

        Args:
            limits: endpoint id -> most slots it may have in use.
            wanted: slots per endpoint; 0 only looks.

        Raises:
            EpochMissing, NotReady: no slots can be given now.
        """
        token = uuid4().hex[:16]
        reply: list[Any] = await self._reserve(
            keys=[EPOCH, *map(key, limits)],
            args=[token, wanted, self._reservation_ms, *limits.values()],
        )
        if reply[0] == -1:
            raise EpochMissing
        if reply[0] == 0:
            raise NotReady(reply[1] / 1000)
        pairs = zip(limits, zip(reply[1::2], reply[2::2], strict=True), strict=True)
        rooms = {endpoint: Room(used, reserved) for endpoint, (used, reserved) in pairs}
        return Reservation(token, wanted, rooms)

    async def bind(self, reservation: Reservation, leases: Mapping[int, Sequence[str]]) -> None:
        """Turn reserved slots into leases (endpoint id -> leases) and give back the rest."""
        held = [e for e, room in reservation.rooms.items() if room.reserved]
        if not held:
            return
        await self._bind(
            keys=[key(endpoint) for endpoint in held],
            args=[
                reservation.token,
                reservation.wanted,
                self._lease_ms,
                *(",".join(leases.get(endpoint, ())) for endpoint in held),
            ],
        )

    async def add(self, leases: Sequence[tuple[int, str]]) -> None:
        """Take slots (endpoint id, lease) for what already runs, beyond the limit if need be."""
        for endpoint, lease in leases:
            await self._bind(keys=[key(endpoint)], args=["", 0, self._lease_ms, lease])

    async def renew(self, leases: Mapping[int, Sequence[str]]) -> None:
        """Keep slots for another lease time."""
        for endpoint, members in leases.items():
            if members:
                await self._renew(keys=[EPOCH, key(endpoint)], args=[self._lease_ms, *members])

    async def release(self, leases: Sequence[tuple[int, str]]) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for endpoint, lease in leases:
                pipe.zrem(key(endpoint), lease)
            await pipe.execute()


def slots_in_use(client: redis.Redis, endpoints: Sequence[int]) -> dict[int, int]:
    """Slots in use now, by endpoint, from synchronous code; expired leases are not counted."""
    seconds, microseconds = client.time()
    now = seconds * 1000 + microseconds // 1000
    pipe = client.pipeline(transaction=False)
    for endpoint in endpoints:
        pipe.zcount(key(endpoint), now, "+inf")
    return dict(zip(endpoints, pipe.execute(), strict=True))
