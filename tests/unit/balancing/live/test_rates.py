"""Rate limits of endpoints, against a real Valkey and its own clock."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from balancing.endpoints.target import Target
from balancing.live.rates import NOTHING_LIMITED, Rates, key
from balancing.live.slots import Slots

PLAIN = Target(1, "e", "http://e/v1", frozenset(["m"]), "", 1.0, 8, "enabled")
FREE = replace(PLAIN, id=2)
REQUESTS = replace(PLAIN, requests_per_minute=5)
TOKENS = replace(PLAIN, tokens_per_minute=1000)


@pytest.fixture
def rates(valkey: Redis) -> Rates:
    return Rates(valkey)


async def age(valkey: Redis, seconds: int) -> None:
    """Let everything that was counted have been counted so much earlier."""
    counted: Any = await valkey.hgetall(key(1))
    await valkey.delete(key(1))
    for name, value in counted.items():
        kind, second = name[:1].decode(), int(name[1:])
        await valkey.hset(key(1), f"{kind}{second - seconds}", value.decode())


async def left(rates: Rates, target: Target) -> int:
    return (await rates.take([target], 0)).left[1]


async def test_without_limits_nothing_is_asked(rates: Rates, valkey: Redis) -> None:
    before = (await valkey.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)

    assert await rates.take([PLAIN, FREE], 4) is NOTHING_LIMITED

    after = (await valkey.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0)
    assert after == before


async def test_requests_are_counted_when_taken(rates: Rates) -> None:
    first = await rates.take([REQUESTS, FREE], 3)
    second = await rates.take([REQUESTS], 3)
    third = await rates.take([REQUESTS], 3)

    assert (first.left, first.taken) == ({1: 5}, {1: 3})
    assert (second.left, second.taken) == ({1: 2}, {1: 2})
    assert (third.left, third.taken) == ({1: 0}, {1: 0})
    assert third.open_to({1: 8, 2: 8}) == {2: 8}


async def test_a_look_counts_nothing(rates: Rates) -> None:
    assert [await left(rates, REQUESTS) for _ in range(3)] == [5, 5, 5]


async def test_what_was_not_used_is_refunded(rates: Rates) -> None:
    allowance = await rates.take([REQUESTS], 4)

    await rates.count(allowance, {1: [("lease", 10)]})

    assert await left(rates, REQUESTS) == 4


async def test_the_limit_holds_for_any_sixty_seconds(rates: Rates, valkey: Redis) -> None:
    await rates.take([REQUESTS], 5)
    await age(valkey, 58)
    assert await left(rates, REQUESTS) == 0

    await age(valkey, 4)

    assert await left(rates, REQUESTS) == 5
    assert await valkey.hgetall(key(1)) == {}, "what is older is forgotten"


async def test_tokens_are_counted_by_estimate_and_corrected(rates: Rates) -> None:
    allowance = await rates.take([TOKENS], 2)
    await rates.count(allowance, {1: [("a", 900), ("b", 300)]})
    assert await left(rates, TOKENS) == 0

    rates.spent("a", 50)
    rates.spent("b", None)
    await rates.flush()
    assert await left(rates, TOKENS) > 0

    rates.spent("a", 5000)
    await rates.flush()
    assert await left(rates, TOKENS) > 0, "a call ends once"


async def test_tokens_found_out_late_count_from_then_on(rates: Rates, valkey: Redis) -> None:
    allowance = await rates.take([TOKENS], 2)
    await rates.count(allowance, {1: [("more", 100), ("less", 100)]})
    seconds, _ = await valkey.time()
    for lease in ("more", "less"):
        endpoint, second, estimate = rates._charged[lease]
        rates._charged[lease] = (endpoint, second - 100, estimate)
    await age(valkey, 100)

    rates.spent("more", 1200)
    rates.spent("less", 10)
    await rates.flush()

    counted = {int(name[1:]): int(n) for name, n in (await valkey.hgetall(key(1))).items()}
    assert sum(n for second, n in counted.items() if second >= seconds) == 1100
    assert await left(rates, TOKENS) == 0


async def test_a_request_larger_than_the_minute_still_runs(rates: Rates) -> None:
    allowance = await rates.take([TOKENS], 1)
    await rates.count(allowance, {1: [("huge", 50_000)]})

    assert allowance.taken == {1: 1}
    assert await left(rates, TOKENS) == 0


async def test_many_workers_together_stay_within_the_limit(valkey: Redis) -> None:
    target = replace(PLAIN, requests_per_minute=37)
    workers = [Rates(valkey) for _ in range(8)]

    async def work(rates: Rates) -> int:
        used = 0
        for _ in range(10):
            allowance = await rates.take([target], 3)
            started = [(f"{id(rates)}{used}", 1)] if allowance.taken[1] else []
            used += len(started)
            await rates.count(allowance, {1: started})
        return used

    assert sum(await asyncio.gather(*map(work, workers))) == 37


async def test_reserved_slots_are_no_more_than_allowed(rates: Rates, valkey: Redis) -> None:
    slots = Slots(valkey, lease_seconds=60, reservation_seconds=60)
    await slots.open_epoch(quiet_seconds=0)
    allowance = await rates.take([replace(REQUESTS, requests_per_minute=2)], 5)

    reservation = (await slots.reserve({1: 8, 2: 8}, 5)).within(allowance)

    assert {e: room.reserved for e, room in reservation.rooms.items()} == {1: 2, 2: 5}
    await slots.confirm(reservation, {})
    again = await slots.reserve({1: 8, 2: 8}, 0)
    assert {e: room.used for e, room in again.rooms.items()} == {1: 0, 2: 0}
