"""Slots as leases, against a real Valkey and its own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from balancing.live.slots import (
    EPOCH,
    EpochMissing,
    NotReady,
    Reservation,
    Room,
    Slots,
    key,
    slots_in_use,
)
from balancing.live.state import Ending
from llmqueue_project.embedded.services import Services

LIMITS = {1: 3, 2: 1}


@pytest.fixture
async def slots(valkey: Redis) -> Slots:
    made = worker(valkey)
    await made.open_epoch(quiet_seconds=0)
    return made


def worker(valkey: Redis, *, lease_seconds: float = 60, reservation_seconds: float = 60) -> Slots:
    return Slots(valkey, lease_seconds=lease_seconds, reservation_seconds=reservation_seconds)


async def used(slots: Slots) -> dict[int, int]:
    rooms = (await slots.reserve(LIMITS, 0)).rooms
    return {endpoint: room.used for endpoint, room in rooms.items()}


async def members(valkey: Redis, endpoint: int) -> set[str]:
    found: Any = await valkey.zrange(key(endpoint), 0, -1)
    return {member.decode() for member in found}


async def take(slots: Slots, endpoint: int, *leases: str) -> Reservation:
    reservation = await slots.reserve({endpoint: 100}, len(leases))
    await slots.confirm(reservation, {endpoint: leases})
    return reservation


async def age(valkey: Redis, endpoint: int, members: Sequence[str]) -> None:
    """Let leases have expired a moment ago."""
    seconds, _ = await valkey.time()
    await valkey.zadd(key(endpoint), dict.fromkeys(members, seconds * 1000 - 1))


class TestReserve:
    async def test_no_more_than_is_free(self, slots: Slots) -> None:
        await take(slots, 1, "a")

        reservation = await slots.reserve(LIMITS, 5)

        assert reservation.rooms == {
            1: Room(used=1, reserved=2, room=2),
            2: Room(used=0, reserved=1, room=1),
        }

    async def test_no_more_than_is_wanted(self, slots: Slots) -> None:
        reservation = await slots.reserve(LIMITS, 1)

        assert {room.reserved for room in reservation.rooms.values()} == {1}

    async def test_a_look_takes_nothing(self, slots: Slots, valkey: Redis) -> None:
        reservation = await slots.reserve(LIMITS, 0)

        assert {room.reserved for room in reservation.rooms.values()} == {0}
        assert await members(valkey, 1) == set()

    async def test_what_is_reserved_is_in_use_for_others(self, slots: Slots, valkey: Redis) -> None:
        await slots.reserve(LIMITS, 2)

        other = await worker(valkey).reserve(LIMITS, 2)

        assert other.rooms == {1: Room(used=2, reserved=1, room=1), 2: Room(used=1, reserved=0)}

    async def test_a_reservation_expires(self, slots: Slots, valkey: Redis) -> None:
        await worker(valkey, reservation_seconds=0).reserve(LIMITS, 3)

        assert await used(slots) == {1: 0, 2: 0}

    async def test_a_limit_that_shrank_leaves_no_room(self, slots: Slots) -> None:
        await take(slots, 1, "a", "b", "c")

        reservation = await slots.reserve({1: 2}, 1)

        assert reservation.rooms == {1: Room(used=3, reserved=0)}

    async def test_no_endpoint_is_no_error(self, slots: Slots) -> None:
        assert (await slots.reserve({}, 1)).rooms == {}

    async def test_workers_together_never_exceed_the_limit(
        self, slots: Slots, valkey: Redis
    ) -> None:
        limit, workers = 7, [worker(valkey) for _ in range(4)]
        running: set[str] = set()
        most = 0

        async def work(number: int) -> None:
            nonlocal most
            for turn in range(15):
                reservation = await workers[number].reserve({1: limit}, 3)
                leases = [f"{number}.{turn}.{n}" for n in range(reservation.rooms[1].reserved)][:2]
                await workers[number].confirm(reservation, {1: leases})
                running.update(leases)
                most = max(most, len(running))
                assert await valkey.zcard(key(1)) <= limit
                await asyncio.sleep(0)
                running.difference_update(leases)
                await workers[number].release([Ending(1, lease) for lease in leases])

        await asyncio.gather(*(work(number) for number in range(4)))

        assert 1 < most <= limit
        assert await used(slots) == {1: 0, 2: 0}


class TestConfirm:
    async def test_leases_take_the_place_of_what_was_reserved(
        self, slots: Slots, valkey: Redis
    ) -> None:
        reservation = await slots.reserve(LIMITS, 3)

        await slots.confirm(reservation, {1: ["a", "b"]})

        assert await members(valkey, 1) == {"a", "b"}
        assert await members(valkey, 2) == set(), "the rest is given back"

    async def test_it_leaves_the_reservations_of_others(self, slots: Slots, valkey: Redis) -> None:
        mine, theirs = await slots.reserve(LIMITS, 1), await worker(valkey).reserve(LIMITS, 1)

        await slots.confirm(mine, {1: ["a"]})

        assert await used(slots) == {1: 2, 2: 0}
        assert theirs.rooms[1].reserved == 1

    async def test_a_lease_lives_longer_than_its_reservation(self, valkey: Redis) -> None:
        slots = worker(valkey, lease_seconds=60, reservation_seconds=0.05)
        await slots.open_epoch(quiet_seconds=0)
        reservation = await slots.reserve(LIMITS, 1)

        await slots.confirm(reservation, {1: ["a"]})

        seconds, _ = await valkey.time()
        score: Any = await valkey.zscore(key(1), "a")
        assert 55 <= score / 1000 - seconds <= 61

    async def test_nothing_reserved_is_nothing_to_do(self, slots: Slots, valkey: Redis) -> None:
        await slots.confirm(await slots.reserve(LIMITS, 0), {})

        assert await members(valkey, 1) == set()


class TestLease:
    async def test_release_frees_it_and_no_other(self, slots: Slots, valkey: Redis) -> None:
        await take(slots, 1, "a", "b")

        await slots.release([Ending(1, "a"), Ending(1, "unknown"), Ending(9, "a")])

        assert await members(valkey, 1) == {"b"}

    async def test_a_dead_workers_slots_free_themselves(self, slots: Slots, valkey: Redis) -> None:
        await take(slots, 1, "dead", "alive")

        await age(valkey, 1, ["dead"])

        assert await used(slots) == {1: 1, 2: 0}
        assert await members(valkey, 1) == {"alive"}

    async def test_renewed_leases_live_on(self, slots: Slots, valkey: Redis) -> None:
        await take(slots, 1, "a", "b")
        await age(valkey, 1, ["a", "b"])

        await slots.renew({1: ["a"], 2: []})

        assert await used(slots) == {1: 1, 2: 0}
        assert await members(valkey, 1) == {"a"}

    async def test_a_released_lease_does_not_come_back(self, slots: Slots, valkey: Redis) -> None:
        await take(slots, 1, "a")
        await slots.release([Ending(1, "a")])

        await slots.renew({1: ["a"]})

        assert await used(slots) == {1: 0, 2: 0}, "its job ended while the heartbeat was under way"

    async def test_what_runs_can_be_added_beyond_the_limit(
        self, slots: Slots, valkey: Redis
    ) -> None:
        await slots.add([(2, "a"), (2, "b")])

        assert (await slots.reserve(LIMITS, 1)).rooms[2] == Room(used=2, reserved=0)


class TestEpoch:
    async def test_a_valkey_without_memory_gives_no_slot(self, valkey: Redis) -> None:
        with pytest.raises(EpochMissing):
            await worker(valkey).reserve(LIMITS, 1)

        assert await valkey.keys("*") == []

    async def test_in_the_quiet_period_running_calls_register_again(self, valkey: Redis) -> None:
        slots = worker(valkey)
        await slots.open_epoch(quiet_seconds=50)

        with pytest.raises(NotReady) as caught:
            await slots.reserve(LIMITS, 1)
        await slots.renew({1: ["a", "b"]})

        assert 45 < caught.value.seconds <= 50
        assert await members(valkey, 1) == {"a", "b"}

    async def test_the_first_to_say_when_is_heeded(self, valkey: Redis) -> None:
        slots = worker(valkey)

        await slots.open_epoch(quiet_seconds=50)
        await slots.open_epoch(quiet_seconds=0)

        with pytest.raises(NotReady):
            await slots.reserve(LIMITS, 0)

    async def test_after_the_quiet_period_slots_are_given(
        self, slots: Slots, valkey: Redis
    ) -> None:
        seconds, _ = await valkey.time()
        await valkey.set(EPOCH, seconds * 1000 - 1)

        assert (await slots.reserve(LIMITS, 1)).rooms[1].reserved == 1


async def test_counts_for_people_who_look(slots: Slots, valkey: Redis, services: Services) -> None:
    await take(slots, 1, "a", "b", "dead")
    await age(valkey, 1, ["dead"])

    with redis.Redis.from_url(services.redis_url.rsplit("/", 1)[0] + "/9") as client:
        assert slots_in_use(client, [1, 2]) == {1: 2, 2: 0}
