"""Who holds which slot of an endpoint? Slots are leases in Valkey, shared by all workers.

Valkey has one sorted set for each endpoint. Its members are leases; their scores say when they
expire, in milliseconds of Valkey's own clock. The slots of a dead worker expire, and their cost
with them (`lua/prelude.lua`). A reserved slot expires within seconds. It becomes a lease when a job
is chosen for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import redis
from redis.asyncio import Redis

from balancing.live.rates import NOTHING_LIMITED, Allowance
from balancing.live.scripts import script
from balancing.live.state import Ending, Verdict, live_key

EPOCH = "llmq:slots:epoch"


def key(endpoint_id: int) -> str:
    return f"llmq:slots:{endpoint_id}"


@dataclass(frozen=True, slots=True)
class Room:
    """One endpoint's share of a reservation.

    Attributes:
        used: slots that others hold.
        reserved: slots that are held for us.
        room: slots that were free, the reserved ones included.
        cost: weighted tokens of the calls that run there.
        on_trial: whether the endpoint is on trial: this one call decides if it returns.
    """

    used: int
    reserved: int
    room: int = 0
    cost: int = 0
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """Slots held for one round of claims; `at` is Valkey's Unix time when they were reserved."""

    token: str
    wanted: int
    rooms: Mapping[int, Room]
    at: float = 0.0
    allowance: Allowance = NOTHING_LIMITED

    def within(self, allowance: Allowance) -> Reservation:
        """This reservation, with no more slots of an endpoint than requests were taken for it."""
        rooms = {
            endpoint: replace(room, reserved=min(room.reserved, allowance.taken[endpoint]))
            if endpoint in allowance.taken
            else room
            for endpoint, room in self.rooms.items()
        }
        return replace(self, rooms=rooms, allowance=allowance)


class NotReady(Exception):
    """No slots are given yet, because running calls register again after Valkey's restart."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"slots open in {seconds:.1f} s")
        self.seconds = seconds


class EpochMissing(Exception):
    """Valkey has lost all slots, or never had any: call `open_epoch` first."""


class Slots:
    """The slots of all endpoints, through one Valkey client. A lease reads `<token>/<cost>`.

    Raises, in every method: redis.RedisError when Valkey is away.
    """

    def __init__(self, client: Redis, *, lease_seconds: float, reservation_seconds: float) -> None:
        self._client = client
        self._lease_ms = int(lease_seconds * 1000)
        self._reservation_ms = int(reservation_seconds * 1000)
        self._reserve = script(client, "reserve")
        self._confirm = script(client, "confirm")
        self._renew = script(client, "renew")
        self._release = script(client, "release")
        self._open = script(client, "open_epoch")

    async def open_epoch(self, *, quiet_seconds: float) -> None:
        """Let slots be given after `quiet_seconds`, unless another worker has said when already."""
        await self._open(keys=[EPOCH], args=[int(quiet_seconds * 1000)])

    async def epoch(self) -> bytes | None:
        """Which memory Valkey has; another value than before, or none, when it has lost it."""
        found: Any = await self._client.get(EPOCH)
        return None if found is None else bytes(found)

    async def reserve(self, limits: Mapping[int, int], wanted: int) -> Reservation:
        """Hold up to `wanted` slots of each endpoint for the reservation time.

        Args:
            limits: endpoint id -> the most slots that may be in use there.
            wanted: slots of each endpoint; 0 only reads what is in use.

        Raises:
            EpochMissing, NotReady: no slots are given now.
        """
        token = uuid4().hex[:16]
        reply: list[Any] = await self._reserve(
            keys=[EPOCH, *_keys(limits)],
            args=[token, wanted, self._reservation_ms, *limits.values()],
        )
        if reply[0] == -1:
            raise EpochMissing
        if reply[0] == 0:
            raise NotReady(reply[1] / 1000)
        rooms = {
            endpoint: Room(used, reserved, room, cost, bool(on_trial))
            for endpoint, used, room, reserved, cost, on_trial in zip(
                limits, *(reply[at::5] for at in range(2, 7)), strict=True
            )
        }
        return Reservation(token, wanted, rooms, reply[1] / 1000)

    async def confirm(self, reservation: Reservation, leases: Mapping[int, Sequence[str]]) -> None:
        """Replace reserved slots by leases (endpoint id -> leases) and free the rest."""
        held = [e for e, room in reservation.rooms.items() if room.reserved]
        if not held:
            return
        await self._confirm(
            keys=_keys(held),
            args=[
                reservation.token,
                reservation.wanted,
                self._lease_ms,
                *(",".join(leases.get(endpoint, ())) for endpoint in held),
            ],
        )

    async def add(self, leases: Sequence[tuple[int, str]]) -> None:
        """Take slots (endpoint id, lease) for calls that run already, even above the limit."""
        for endpoint, lease in leases:
            await self._confirm(keys=_keys([endpoint]), args=["", 0, self._lease_ms, lease])

    async def renew(self, leases: Mapping[int, Sequence[str]]) -> None:
        """Keep slots (endpoint id -> leases) for another lease time."""
        for endpoint, members in leases.items():
            if members:
                await self._renew(keys=[EPOCH, *_keys([endpoint])], args=[self._lease_ms, *members])

    async def release(
        self, endings: Sequence[Ending], *, cooldown_seconds: float = 0.0
    ) -> list[Verdict]:
        """Free slots and store what their calls say; returns what the ejection rule must judge."""
        arguments: list[Any] = [int(cooldown_seconds * 1000)]
        for ending in endings:
            arguments += ending.arguments()
        reply = await self._release(
            keys=_keys([ending.endpoint_id for ending in endings]), args=arguments
        )
        places = range(1, len(reply), 6)
        return [
            Verdict.of_reply(endings[reply[at]], reply[0], reply[at + 1 : at + 6]) for at in places
        ]


def _keys(endpoints: Iterable[int]) -> list[str]:
    return [name for endpoint in endpoints for name in (key(endpoint), live_key(endpoint))]


def slots_in_use(client: redis.Redis, endpoints: Sequence[int]) -> dict[int, int]:
    """Slots in use now by endpoint id, without expired leases; for synchronous code."""
    seconds, microseconds = client.time()
    now = seconds * 1000 + microseconds // 1000
    pipe = client.pipeline(transaction=False)
    for endpoint in endpoints:
        pipe.zcount(key(endpoint), now, "+inf")
    return dict(zip(endpoints, pipe.execute(), strict=True))
