"""The engine fetches tickets itself when a slot frees while more of them wait."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from balancing.live.slots import NotReady
from scheduling.levels import LEVELS
from scheduling.models import Priority
from scheduling.policies.levels import Floors
from scheduling.worker.puller import Puller
from tests.unit.scheduling.world import World, tickets

REALTIME, HIGH, NORMAL, LOW = range(4)


class Pulling(World):
    """A worker whose hub was refused: all its slots were taken."""

    def __init__(self, client: Redis, *, slots: int, queued: Mapping[int, int]) -> None:
        super().__init__(client, slots=slots, queued=queued, policy=Floors({"low": 0.25}))
        self.client = client
        self.woken = 0
        self.puller = Puller(gate=self.gate, queue=self.queue, pool=self.pool, desk=self.desk)
        self.puller.is_allowed = lambda: True
        self.gate.on_room(self.puller.room_appeared)
        self.gate.on_open(self._woken)
        self.gate.consume(LEVELS)
        assert self.gate.admitted(LEVELS) == []

    def _woken(self) -> None:
        self.woken += 1

    async def fill(self, **counts: int) -> None:
        for level, count in counts.items():
            for _ in range(count):
                await self.client.lpush(level, "ticket")

    async def free(self, slots: int) -> None:
        """So many slots free, and what follows of it is over."""
        self.gate.freed(slots)
        while self.puller._pulling is not None or self.puller._serving:
            await asyncio.sleep(0.001)

    @property
    def levels_started(self) -> list[int]:
        return [job.level for job in self.started]


async def test_a_freed_slot_serves_the_best_level_that_waits(valkey: Redis) -> None:
    world = Pulling(valkey, slots=1, queued={HIGH: 1, LOW: 1})
    await world.fill(high=1, low=1)

    await world.free(1)

    assert world.levels_started == [HIGH]
    assert await tickets(valkey) == {"low": 1}
    assert world.pool.placed == world.started
    assert world.in_hand() == 0


async def test_freed_slots_are_filled_together(valkey: Redis) -> None:
    world = Pulling(valkey, slots=4, queued={HIGH: 6})
    await world.fill(high=6)

    await world.free(4)

    assert world.levels_started == [HIGH] * 4
    assert await tickets(valkey) == {"high": 2}


async def test_the_floors_are_kept(valkey: Redis) -> None:
    """Low is paid once it is owed three picks, which is after twelve, and then every fourth."""
    world = Pulling(valkey, slots=1, queued={REALTIME: 60, LOW: 60})
    await world.fill(realtime=60, low=60)

    for _ in range(52):
        await world.free(1)

    assert world.levels_started[-40:].count(LOW) == 10


async def test_where_no_ticket_waits_the_hub_is_woken(valkey: Redis) -> None:
    world = Pulling(valkey, slots=2, queued={})

    await world.free(2)

    assert world.woken == 1
    assert world.started == []
    assert world.pool.rounds == 1, "what had been reserved goes back"


async def test_closed_and_foreign_levels_are_left_alone(valkey: Redis) -> None:
    world = Pulling(valkey, slots=2, queued={REALTIME: 1, HIGH: 1, LOW: 1})
    world.gate.consume(["high", "low"])
    world.gate.pause(frozenset({"high"}))
    await world.fill(realtime=1, high=1, low=1)

    await world.free(2)

    assert world.levels_started == [LOW]
    assert await tickets(valkey) == {"realtime": 1, "high": 1}


async def test_while_it_is_not_allowed_the_hub_fetches(valkey: Redis) -> None:
    world = Pulling(valkey, slots=1, queued={HIGH: 1})
    world.puller.is_allowed = lambda: False
    await world.fill(high=1)

    await world.free(1)

    assert (world.woken, world.started) == (1, [])
    assert await tickets(valkey) == {"high": 1}


async def test_while_no_slots_are_given_the_ticket_goes_back(valkey: Redis) -> None:
    world = Pulling(valkey, slots=1, queued={HIGH: 1})
    world.pool.error = NotReady(1.0)
    await world.fill(high=1)

    await world.free(1)

    assert await tickets(valkey) == {"high": 1}
    assert world.in_hand() == 0


class Away(Redis):
    async def execute_command(self, *_: object, **__: object) -> None:
        raise RedisConnectionError("away")


async def test_with_valkey_away_the_hub_is_woken() -> None:
    world = Pulling(Away(), slots=1, queued={HIGH: 1})

    await world.free(1)

    assert (world.woken, world.started) == (1, [])
    assert world.in_hand() == 0


async def test_a_refused_hub_that_lost_a_level_to_its_operator_pulls_no_more_of_it(
    valkey: Redis,
) -> None:
    """`celery control cancel_consumer high`."""
    world = Pulling(valkey, slots=1, queued={HIGH: 1})
    world.gate.consume([])
    await world.fill(high=1)

    await world.free(1)

    assert world.started == []
    assert await tickets(valkey) == {Priority.HIGH.queue: 1}
