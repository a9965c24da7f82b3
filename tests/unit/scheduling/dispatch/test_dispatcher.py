"""From tickets to running jobs, with stub collaborators."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import psycopg
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from balancing.live.slots import NotReady
from scheduling.dispatch.level_slots import key
from scheduling.levels import LEVELS
from scheduling.models import Priority
from scheduling.policies.levels import Floors
from tests.unit.scheduling.world import World, tickets

REALTIME, LOW = 0, 3


async def test_a_ticket_starts_the_next_job(valkey: Redis) -> None:
    world = World(valkey, queued={LOW: 1})

    (ending,) = await world.serve(LOW)

    assert ending is not None
    assert [job.level for job in world.started] == [LOW]
    assert world.pool.placed == world.started
    assert world.in_hand() == 0
    assert await tickets(valkey) == {}


async def test_the_gate_learns_what_is_left(valkey: Redis) -> None:
    world = World(valkey, slots=4, queued={LOW: 3})

    await world.serve(LOW, LOW, LOW)

    assert world.gate.spare == 1


async def test_tickets_of_one_moment_are_served_together_best_level_first(valkey: Redis) -> None:
    world = World(valkey, slots=3, queued={REALTIME: 2, LOW: 5})

    await world.serve(LOW, LOW, REALTIME, REALTIME)

    assert [job.level for job in world.started] == [REALTIME, REALTIME, LOW]
    assert world.pool.rounds == 1
    assert await tickets(valkey) == {"low": 1}, "it has a job, but no slot"


async def test_a_ticket_without_a_job_is_dropped(valkey: Redis) -> None:
    world = World(valkey)

    assert await world.serve(LOW) == [None]

    assert await tickets(valkey) == {}
    assert world.gate.admitted(["low"]) == ["low"]


async def test_a_ticket_whose_models_have_no_room_closes_its_level(valkey: Redis) -> None:
    world = World(valkey)
    world.claims.elsewhere.add(LOW)

    await world.serve(LOW)

    assert await tickets(valkey) == {"low": 1}
    assert world.gate.admitted(LEVELS) == ["realtime", "high", "normal"]


async def test_without_any_room_the_level_need_not_be_closed(valkey: Redis) -> None:
    world = World(valkey, slots=0, queued={LOW: 1})

    await world.serve(LOW)

    assert await tickets(valkey) == {"low": 1}
    assert not world.gate.has_closed
    assert world.gate.admitted(LEVELS) == []


async def test_a_job_without_an_endpoint_goes_back(valkey: Redis) -> None:
    world = World(valkey, queued={LOW: 1})
    world.pool.homeless = True

    assert await world.serve(LOW) == [None]

    assert len(world.claims.returned) == 1
    assert world.started == []
    assert world.in_hand() == 0


async def test_while_slots_are_not_given_tickets_go_back(valkey: Redis) -> None:
    world = World(valkey, queued={LOW: 1})
    world.pool.error = NotReady(1.0)

    assert await world.serve(LOW, LOW, REALTIME) == [None] * 3

    assert await tickets(valkey) == {"low": 2, "realtime": 1}
    assert world.in_hand() == 0


async def test_when_shutting_down_tickets_go_back(valkey: Redis) -> None:
    world = World(valkey, queued={LOW: 1})
    world.dispatcher.accepting = False

    await world.serve(LOW)

    assert await tickets(valkey) == {"low": 1}
    assert world.started == []


async def test_what_goes_back_is_taken_next(valkey: Redis) -> None:
    world = World(valkey)
    world.dispatcher.accepting = False
    await valkey.lpush("low", "older")

    await world.serve(LOW)

    assert await valkey.rpop("low") != b"older"


class Away:
    """A Valkey that cannot be reached."""

    def register_script(self, _script: str) -> None:
        return None

    async def rpush(self, *_: Any) -> int:
        raise RedisConnectionError("away")


@pytest.mark.parametrize(
    "error",
    [NotReady(1.0), RedisConnectionError("away"), psycopg.OperationalError("away")],
    ids=lambda error: type(error).__name__,
)
async def test_no_ticket_stays_in_hand_when_servers_are_away(error: Exception) -> None:
    world = World(cast(Redis, Away()), queued={LOW: 1})
    world.pool.error = error

    assert await world.serve(LOW, LOW) == [None, None]

    assert world.in_hand() == 0


async def test_nor_after_an_error_that_nobody_expected(valkey: Redis) -> None:
    world = World(valkey)
    world.pool.error = KeyError("bug")

    with pytest.raises(KeyError):
        await world.serve(LOW)

    assert world.in_hand() == 0


async def test_a_failed_claim_gives_the_reserved_slots_back(valkey: Redis) -> None:
    world = World(valkey, queued={LOW: 1})
    world.claims.error = psycopg.OperationalError("away")

    assert await world.serve(LOW) == [None]

    assert (world.pool.rounds, world.pool.placed) == (1, [])
    assert world.in_hand() == 0


async def test_a_pick_that_found_nothing_is_refunded(valkey: Redis) -> None:
    policy = Floors({"low": 0.5})
    world = World(valkey, policy=policy)
    for _ in range(6):
        policy.order(LEVELS)
        policy.charge("realtime")
    assert policy.order(LEVELS)[0] == "low"
    policy.charge("low")
    assert policy.order(LEVELS)[0] == "realtime"

    await world.serve(LOW)

    assert policy.order(LEVELS)[0] == "low"


async def test_a_capped_level_gets_its_slots_and_no_more(valkey: Redis) -> None:
    world = World(valkey, slots=8, queued={Priority.LOW: 5, Priority.HIGH: 2})
    await world.levels.follow({"low": 2})

    await world.begin(Priority.LOW, Priority.HIGH, Priority.LOW, Priority.LOW, Priority.HIGH)

    assert sorted(job.level for job in world.started) == [1, 1, 3, 3]
    assert await valkey.llen("low") == 1, "the third ticket went back"
    assert world.gate.admitted(["high", "low"]) == ["high"]
    first = next(job for job in world.started if job.level == Priority.LOW)
    world.levels.release(first)
    await asyncio.gather(*world.levels._releasing)
    assert world.gate.admitted(["high", "low"]) == ["high", "low"]
    world.finish.set()


async def test_a_job_without_an_endpoint_frees_its_levels_slot(valkey: Redis) -> None:
    world = World(valkey, slots=1, queued={Priority.LOW: 2})
    world.pool.homeless = True
    await world.levels.follow({"low": 2})

    await world.serve(Priority.LOW)
    await asyncio.gather(*world.levels._releasing)

    assert world.claims.returned
    assert await valkey.zcard(key("low")) == 0
