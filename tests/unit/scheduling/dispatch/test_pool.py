"""A worker's slots, against a real Valkey: reserved, placed, renewed, freed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from balancing.endpoints.registry import Target
from balancing.live.rates import Rates
from balancing.live.slots import NotReady, Reservation, Slots, key
from balancing.live.state import CallOutcome, Ending, Verdict, live_key
from balancing.live.store import LiveStore
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.pool import EndpointPool
from scheduling.dispatch.slot import Slot
from scheduling.tickets.gate import TicketGate
from tests.hot_path import MODEL, Db, claimed, spec

OTHER = "other-model"


class Failing(Slots):
    """Slots whose Valkey goes away when the test says so."""

    def __init__(self, client: Redis) -> None:
        super().__init__(client, lease_seconds=60, reservation_seconds=60)
        self.is_away = False

    async def confirm(self, reservation: Reservation, leases: Mapping[int, Sequence[str]]) -> None:
        self._check()
        await super().confirm(reservation, leases)

    async def release(
        self, endings: Sequence[Ending], *, cooldown_seconds: float = 0.0
    ) -> list[Verdict]:
        self._check()
        return await super().release(endings, cooldown_seconds=cooldown_seconds)

    def _check(self) -> None:
        if self.is_away:
            raise RedisConnectionError("away")


def target(number: int, *models: str, slots: int = 2, **fields: Any) -> Target:
    served = frozenset(models or (MODEL,))
    return Target(number, f"e{number}", "http://e", served, "", 1.0, slots, "enabled", **fields)


class World:
    def __init__(self, valkey: Redis, database: Db, *targets: Target) -> None:
        self.valkey = valkey
        self.gate = TicketGate()
        self.slots = Failing(valkey)
        self.pool = EndpointPool(
            self.slots, Rates(valkey), LiveStore(valkey), database.pools, self.gate
        )
        self.pool.view.update_targets(targets)

    async def place(self, *jobs: Claimed, wanted: int | None = None) -> list[Slot | None]:
        room = await self.pool.reserve(len(jobs) if wanted is None else wanted)
        placed = self.pool.place(room, jobs)
        await placed.confirmed
        return placed.slots

    async def held(self, endpoint: int = 1) -> set[str]:
        found: Any = await self.valkey.zrange(key(endpoint), 0, -1)
        return {member.decode() for member in found}


@pytest.fixture
def world(valkey: Redis, database: Db) -> Callable[..., Awaitable[World]]:
    async def made(*targets: Target) -> World:
        world = World(valkey, database, *(targets or (target(1),)))
        await world.slots.open_epoch(quiet_seconds=0)
        return world

    return made


Make = Callable[..., Awaitable[World]]


class TestRoom:
    async def test_room_is_by_model_and_shrinks_with_each_claim(self, world: Make) -> None:
        pool = (await world(target(1, MODEL, OTHER), target(2, MODEL))).pool

        room = await pool.reserve(1)

        assert room.slots == {MODEL: 2, OTHER: 1}
        assert room.free == 4
        room.claimed([claimed(), claimed(model=OTHER)])
        assert room.slots == {MODEL: 1}

    async def test_a_model_is_asked_by_what_its_endpoints_with_room_offer(
        self, world: Make
    ) -> None:
        chat, embedding = frozenset({"chat"}), frozenset({"embedding"})
        made = await world(target(1, apis=chat), target(2, apis=embedding))

        assert (await made.pool.reserve(1)).apis == {MODEL: chat | embedding}

    async def test_a_look_reserves_nothing(self, world: Make) -> None:
        made = await world()

        room = await made.pool.reserve(0)

        assert (room.slots, room.free) == ({}, 2)
        assert await made.held() == set()

    async def test_no_more_than_its_rate_allows(self, world: Make) -> None:
        made = await world(target(1, slots=8, requests_per_minute=3))

        room = await made.pool.reserve(8)
        assert room.slots == {MODEL: 3}
        assert (await made.pool.reserve(8)).slots == {}
        await made.pool.give_back(room)

        assert (await made.pool.reserve(8)).slots == {MODEL: 3}, "what was not used is refunded"

    async def test_after_valkey_lost_its_memory_running_calls_go_first(
        self, valkey: Redis, database: Db
    ) -> None:
        made = World(valkey, database, target(1))
        await database.submit(spec(await database.flow()))
        await database.run(
            "update scheduling_job set status = 'processing',"
            " lease_expires_at = now() + interval '1 min'"
        )

        with pytest.raises(NotReady):
            await made.pool.reserve(1)

    async def test_a_valkey_that_forgot_is_told_at_once_what_runs(self, world: Make) -> None:
        made = await world()
        held = {1: ["lease/1"]}
        await made.pool.remember(held)
        await made.valkey.flushdb()

        assert await made.pool.remember(held)
        assert await made.held() == {"lease/1"}
        assert not await made.pool.remember(held), "it knows by now"

    async def test_where_nothing_runs_slots_are_given_at_once(
        self, valkey: Redis, database: Db
    ) -> None:
        made = World(valkey, database, target(1))

        assert (await made.pool.reserve(1)).slots == {MODEL: 1}


class TestPlacing:
    async def test_jobs_hold_slots_and_the_rest_goes_back(self, world: Make) -> None:
        made = await world(target(1, slots=4))
        job = claimed()

        (slot,) = await made.place(job, wanted=3)

        assert slot is not None
        assert (slot.target.name, slot.lease) == ("e1", job.lease)
        assert await made.held() == {job.lease}

    async def test_a_group_is_spread_over_what_was_reserved(self, world: Make) -> None:
        made = await world(target(1, slots=1), target(2, slots=1))

        slots = await made.place(claimed(), claimed())

        assert sorted(slot.target.id for slot in slots if slot) == [1, 2]

    async def test_a_job_too_many_has_no_slot(self, world: Make) -> None:
        made = await world(target(1, slots=1))

        first, second = await made.place(claimed(), claimed())

        assert first is not None
        assert second is None

    async def test_a_slot_that_could_not_be_written_down_is_taken_by_the_heartbeat(
        self, world: Make
    ) -> None:
        made, job = await world(), claimed()
        made.slots.is_away = True

        (slot,) = await made.place(job)
        assert slot is not None, "the call goes on: the slot is reserved"
        made.slots.is_away = False
        await made.pool.renew({1: [job.lease]})

        assert job.lease in await made.held()

    async def test_of_a_call_that_is_over_the_heartbeat_takes_nothing(self, world: Make) -> None:
        made, job = await world(), claimed()
        made.slots.is_away = True
        await made.place(job)
        made.slots.is_away = False

        await made.pool.renew({})

        assert job.lease not in await made.held()


class TestFreeing:
    async def test_a_freed_slot_is_room_for_the_gate_and_for_others(self, world: Make) -> None:
        made = await world(target(1, slots=1))
        (slot,) = await made.place(claimed())
        assert slot is not None
        assert await made.place(claimed()) == [None]

        await slot.release()

        assert made.gate.mark() == 1
        assert await made.place(claimed()) != [None]

    async def test_without_valkey_it_is_freed_by_the_heartbeat(self, world: Make) -> None:
        made = await world()
        (slot,) = await made.place(claimed())
        assert slot is not None
        made.slots.is_away = True
        await slot.release()
        assert await made.held() == {slot.lease}

        made.slots.is_away = False
        await made.pool.renew({})

        assert await made.held() == set()

    async def test_what_cannot_be_read_of_one_endpoint_keeps_no_others_slots(
        self, world: Make
    ) -> None:
        made = await world(target(1, slots=1), target(2, slots=1))
        slots = [slot for slot in await made.place(claimed(), claimed()) if slot is not None]
        await made.valkey.hset(live_key(1), "failures", "foreign")

        await asyncio.gather(
            *(
                slot.release(Ending(slot.placement.target.id, slot.lease, CallOutcome.FAILED))
                for slot in slots
            )
        )
        await made.pool.renew({})

        assert await made.held(2) == set()
        assert (await made.valkey.hget(live_key(2), "failures")) == b"1"

    async def test_what_calls_say_is_told_to_all_workers(self, world: Make) -> None:
        made = await world()
        (slot,) = await made.place(claimed())
        assert slot is not None

        await slot.release(Ending(1, slot.lease, outcome=CallOutcome.FAILED))
        await made.pool.refresh_live()

        assert made.pool.view.live[1].failures == 1


class TestAnotherSlot:
    async def test_an_endpoint_that_was_tried_is_passed_over(self, world: Make) -> None:
        made, job = await world(target(1), target(2)), claimed()

        slot = await made.pool.take_slot(job, [MODEL], frozenset({1}), {"failover": "e1"})

        assert slot is not None
        assert slot.target.id == 2
        assert '"failover":"e1"' in slot.placement.why
        assert (await made.held(1), await made.held(2)) == (set(), {job.lease})

    async def test_a_fallback_model_serves_where_its_own_cannot(self, world: Make) -> None:
        made, job = await world(target(1), target(2, OTHER)), claimed(allow_fallback=True)

        slot = await made.pool.take_slot(job, [MODEL, OTHER], frozenset({1}), {})

        assert slot is not None
        assert (slot.target.id, slot.placement.model) == (2, OTHER)

    async def test_where_all_were_tried_nothing_is_held(self, world: Make) -> None:
        made = await world(target(1), target(2))

        slot = await made.pool.take_slot(claimed(), [MODEL], frozenset({1, 2}), {})

        assert slot is None
        assert (await made.held(1), await made.held(2)) == (set(), set())

    async def test_while_slots_are_not_given_there_is_none(
        self, valkey: Redis, database: Db
    ) -> None:
        made = World(valkey, database, target(1))
        await made.slots.open_epoch(quiet_seconds=60)

        assert await made.pool.take_slot(claimed(), [MODEL], frozenset(), {}) is None
