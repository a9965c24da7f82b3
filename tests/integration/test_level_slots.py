"""Levels' slots over several workers: never more than the cap, and none lost to a killed worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from scheduling.dispatch import level_slots
from scheduling.dispatch.level_slots import CAPS, LevelSlots, key
from scheduling.models import Priority
from scheduling.tickets.gate import TicketGate
from tests.hot_path import claimed

Worker = Callable[..., LevelSlots]


@pytest.fixture
def worker(valkey: Redis) -> Worker:
    def made(**seconds: float) -> LevelSlots:
        times = {"lease_seconds": 30.0, "reservation_seconds": 2.0, **seconds}
        gate = TicketGate()
        gate.activate()
        return LevelSlots(valkey, gate, **times)

    return made


async def start(worker: LevelSlots, jobs: int) -> list[Any]:
    """Claim as many low jobs as a worker is let."""
    share = await worker.reserve({"low": jobs})
    found = [claimed(level=Priority.LOW) for _ in range(share.limit("low", jobs))]
    await worker.hold(share, found)
    return found


async def test_workers_share_one_cap(worker: Worker, valkey: Redis) -> None:
    one, other = worker(), worker()
    for each in (one, other):
        await each.follow({"low": 5})

    shares = await asyncio.gather(*(start(each, 4) for each in (one, other, one)))

    assert sum(map(len, shares)) == 5
    assert await valkey.zcard(key("low")) == 5


async def test_what_is_reserved_and_not_claimed_is_given_back(
    worker: Worker, valkey: Redis
) -> None:
    one = worker()
    await one.follow({"low": 5})

    share = await one.reserve({"low": 4})
    await one.hold(share, [claimed(level=Priority.LOW)])

    assert await valkey.zcard(key("low")) == 1


async def test_a_killed_workers_slots_expire(worker: Worker) -> None:
    killed, other = worker(lease_seconds=0.2), worker()
    for each in (killed, other):
        await each.follow({"low": 2})
    await start(killed, 2)
    assert not await start(other, 1)

    async with asyncio.timeout(5):
        while not await start(other, 1):
            await asyncio.sleep(0.02)


async def test_a_heartbeat_writes_down_again_what_valkey_forgot(
    worker: Worker, valkey: Redis
) -> None:
    one = worker()
    await one.follow({"low": 2})
    jobs = await start(one, 2)
    await valkey.flushdb()

    await one.renew([*jobs, claimed(level=Priority.HIGH)])

    assert not await start(one, 1)
    assert await valkey.keys("llmq:levels:*") == [key("low").encode()]


async def test_without_a_cap_valkey_is_not_asked(worker: Worker, valkey: Redis) -> None:
    one = worker()
    await one.follow({})

    assert len(await start(one, 9)) == 9
    await one.renew([claimed()])
    assert await valkey.dbsize() == 0


async def test_a_cap_that_is_lifted_opens_the_level(worker: Worker) -> None:
    one = worker()
    await one.follow({"low": 1})
    await start(one, 2)
    assert one._gate.capped == {"low"}

    await one.follow({})

    assert not one._gate.capped
    assert len(await start(one, 3)) == 3


async def test_another_worker_frees_a_slot(worker: Worker) -> None:
    one, other = worker(), worker()
    for each in (one, other):
        await each.follow({"low": 1})
    (job,) = await start(other, 1)
    await one.look()
    assert one._gate.capped == {"low"}

    other.release(job)
    await asyncio.gather(*other._releasing)
    await one.look()

    assert not one._gate.capped


async def test_people_are_shown_caps_and_use(worker: Worker, valkey: Redis, services: Any) -> None:
    import redis

    one = worker()
    await one.follow({"low": 3, "normal": 7})
    await start(one, 2)

    with redis.Redis.from_url(services.redis_url.rsplit("/", 1)[0] + "/9") as client:
        assert level_slots.shown(client) == {"normal": (0, 7), "low": (2, 3)}
    assert 0 < await valkey.ttl(CAPS) <= 30
