"""What releases teach, and who may be ejected: against a real Valkey, by its clock alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis

from balancing.live.slots import Slots, key
from balancing.live.state import EMPTY, CallOutcome, Ending, Live, Verdict, live_key
from balancing.live.store import LiveStore
from balancing.policies.ejection import Ejection

LEASE = "a" * 32
ANSWERED, SILENT = CallOutcome.ANSWERED, CallOutcome.SILENT
FAILED, BUSY = CallOutcome.FAILED, CallOutcome.BUSY
RULE = Ejection(failures=3)


@pytest.fixture
async def slots(valkey: Redis) -> Slots:
    made = worker(valkey)
    await made.open_epoch(quiet_seconds=0)
    return made


@pytest.fixture
def live(valkey: Redis) -> LiveStore:
    return LiveStore(valkey)


def worker(valkey: Redis, *, reservation_seconds: float = 60) -> Slots:
    return Slots(valkey, lease_seconds=60, reservation_seconds=reservation_seconds)


async def take(slots: Slots, endpoint: int, *leases: str) -> None:
    reservation = await slots.reserve({endpoint: 100}, len(leases))
    await slots.confirm(reservation, {endpoint: leases})


async def cost(slots: Slots, endpoint: int = 1) -> int:
    return (await slots.reserve({endpoint: 100}, 0)).rooms[endpoint].cost


async def state(live: LiveStore, endpoint: int = 1) -> Live:
    return (await live.read([endpoint]))[1][endpoint]


async def fail(slots: Slots, endpoint: int = 1, times: int = 1) -> list[Verdict]:
    endings = [Ending(endpoint, f"gone{n}", outcome=FAILED) for n in range(times)]
    return await slots.release(endings, cooldown_seconds=5)


async def eject(
    slots: Slots, live: LiveStore, endpoint: int = 1, *, others: tuple[int, ...]
) -> bool:
    verdict = (await fail(slots, endpoint, times=3))[-1]
    return await live.judge(verdict, RULE, others=others, away=0) is not None


async def let_it_return(valkey: Redis, endpoint: int = 1) -> None:
    """Its time out is over."""
    await valkey.hset(live_key(endpoint), "ejected_until", "1000")


class TestCost:
    async def test_it_is_that_of_what_runs(self, slots: Slots) -> None:
        await take(slots, 1, f"{LEASE}/30", "b/12")
        await take(slots, 2, "c/5")

        assert (await cost(slots), await cost(slots, 2)) == (42, 5)

        await slots.release([Ending(1, f"{LEASE}/30"), Ending(1, f"{LEASE}/30")])

        assert await cost(slots) == 12, "freed once"

    async def test_a_dead_workers_cost_goes_with_its_leases(
        self, slots: Slots, valkey: Redis
    ) -> None:
        await take(slots, 1, "dead/30", "alive/12")
        seconds, _ = await valkey.time()

        await valkey.zadd(key(1), {"dead/30": seconds * 1000 - 1})

        assert await cost(slots) == 12

    async def test_a_valkey_that_lost_its_memory_learns_it_anew(self, valkey: Redis) -> None:
        slots = worker(valkey)
        await slots.open_epoch(quiet_seconds=50)

        await slots.renew({1: ["a/7", "b/5"]})
        await slots.renew({1: ["a/7", "b/5"]})

        assert await valkey.hget(live_key(1), "cost") == b"12"

    async def test_a_cost_without_its_slots_is_forgotten(self, slots: Slots, valkey: Redis) -> None:
        await take(slots, 1, "a/7")

        await valkey.delete(key(1))

        assert await cost(slots) == 0
        await take(slots, 1, "b/3")
        assert await cost(slots) == 3

    async def test_workers_together_leave_nothing_behind(self, slots: Slots, valkey: Redis) -> None:
        async def work(number: int) -> None:
            mine = worker(valkey)
            for turn in range(10):
                leases = [f"{number}.{turn}.{n}/{n + 3}" for n in range(3)]
                await take(mine, 1, *leases)
                await mine.release([Ending(1, lease, outcome=ANSWERED) for lease in leases])

        await asyncio.gather(*(work(number) for number in range(4)))

        assert await cost(slots) == 0
        assert await valkey.hget(live_key(1), "cost") == b"0"


class TestSpeed:
    async def test_the_first_sample_counts_whole(self, slots: Slots, live: LiveStore) -> None:
        await slots.release([Ending(1, LEASE, ANSWERED, 0.4, 0.02)])

        seen = await state(live)
        assert (seen.first_token, seen.peak) == (0.4, 0.4)
        assert (seen.token, seen.best_token) == (0.02, 0.02)
        assert abs(seen.measured_at - time.time()) < 5

    async def test_further_ones_move_it(self, slots: Slots, live: LiveStore) -> None:
        await slots.release([Ending(1, LEASE, ANSWERED, 0.4, 0.02)])
        await slots.release([Ending(1, LEASE, ANSWERED, 2.4, 0.04)])

        seen = await state(live)
        assert 0.4 < seen.first_token < 2.4
        assert seen.peak == 2.4, "it rises at once"
        assert 0.02 < seen.token < 0.04
        assert seen.best_token == pytest.approx(0.02, rel=0.01), "it rises slowly"

    async def test_after_a_long_silence_the_newest_counts(
        self, slots: Slots, live: LiveStore, valkey: Redis
    ) -> None:
        await slots.release([Ending(1, LEASE, ANSWERED, token_seconds=0.02)])
        await valkey.hincrby(live_key(1), "token_at", -100_000)

        await slots.release([Ending(1, LEASE, ANSWERED, token_seconds=0.04)])

        assert (await state(live)).token == pytest.approx(0.04, rel=0.01)

    async def test_a_workers_own_clock_does_not_matter(
        self, slots: Slots, live: LiveStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await slots.release([Ending(1, LEASE, FAILED)], cooldown_seconds=5)
        monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
        await slots.release([Ending(1, LEASE, FAILED)], cooldown_seconds=5)

        at, states = await live.read([1])

        assert 4 < states[1].failing_until - at <= 5

    async def test_a_lost_race_teaches_slowness_but_no_outcome(
        self, slots: Slots, live: LiveStore
    ) -> None:
        await slots.release([Ending(1, LEASE, SILENT, first_token_seconds=9.0)])

        seen = await state(live)
        assert (seen.first_token, seen.requests, seen.errors) == (9.0, 0, 0)


class TestFailures:
    async def test_they_are_counted_until_a_success(self, slots: Slots, live: LiveStore) -> None:
        (first, second) = await fail(slots, times=2)

        assert (first.standing.failures, second.standing.failures) == (1, 2)
        assert await slots.release([Ending(1, LEASE, ANSWERED)]) == [], "nothing to judge"
        seen = await state(live)
        assert (seen.failures, seen.requests, seen.errors) == (0, 3, 2)

    async def test_a_busy_endpoint_is_avoided_and_not_blamed(
        self, slots: Slots, live: LiveStore
    ) -> None:
        assert await slots.release([Ending(1, LEASE, BUSY)], cooldown_seconds=5) == []

        seen = await state(live)
        assert seen.failures == 0
        assert seen.failing_until > time.time()

    async def test_what_says_nothing_changes_nothing(self, slots: Slots, live: LiveStore) -> None:
        await slots.release([Ending(1, LEASE, SILENT)])

        assert await state(live) == EMPTY


class TestEjection:
    async def test_an_ejected_endpoint_has_no_room(self, slots: Slots, live: LiveStore) -> None:
        assert await eject(slots, live, others=(2,))

        rooms = (await slots.reserve({1: 4, 2: 4}, 2)).rooms
        assert (rooms[1].reserved, rooms[1].room, rooms[2].reserved) == (0, 0, 2)
        seen = await state(live)
        assert (seen.failures, seen.ejections, seen.ejected_times) == (0, 1, 1)

    async def test_two_workers_eject_it_once(self, slots: Slots, live: LiveStore) -> None:
        verdicts = (await fail(slots, times=4))[-2:]

        moved = [await live.judge(v, RULE, others=(2,), away=0) for v in verdicts]

        assert [found is not None for found in moved] == [True, False]
        assert (await state(live)).ejections == 1

    async def test_together_they_eject_no_more_than_half(
        self, slots: Slots, live: LiveStore
    ) -> None:
        """Neither has seen the other's ejection: the script has."""
        assert await eject(slots, live, 1, others=(2,))
        await eject(slots, live, 2, others=(1,))

        rooms = (await slots.reserve({1: 4, 2: 4}, 1)).rooms
        assert (rooms[1].reserved, rooms[2].reserved) == (0, 1)
        assert (await state(live, 2)).ejected_until == 0.0

    async def test_the_only_endpoint_stays(self, slots: Slots, live: LiveStore) -> None:
        await eject(slots, live, others=())

        assert (await slots.reserve({1: 4}, 1)).rooms[1].reserved == 1


class TestTrial:
    @pytest.fixture
    async def on_trial(self, slots: Slots, live: LiveStore, valkey: Redis) -> None:
        await eject(slots, live, others=(2,))
        await let_it_return(valkey)

    async def trial(self, slots: Slots, valkey: Redis, lease: str = LEASE) -> bool:
        mine = worker(valkey)
        reservation = await mine.reserve({1: 4}, 3)
        got = reservation.rooms[1].reserved
        await mine.confirm(reservation, {1: [lease]} if got else {})
        return got == 1 and reservation.rooms[1].on_trial

    @pytest.mark.usefixtures("on_trial")
    async def test_of_many_workers_one_gets_it(self, slots: Slots, valkey: Redis) -> None:
        tries = [self.trial(slots, valkey, f"{n}") for n in range(8)]

        assert sum(await asyncio.gather(*tries)) == 1

    @pytest.mark.usefixtures("on_trial")
    async def test_calls_from_before_do_not_stand_in_its_way(
        self, slots: Slots, valkey: Redis
    ) -> None:
        await slots.add([(1, f"old{n}") for n in range(4)])

        assert await self.trial(slots, valkey)

    @pytest.mark.usefixtures("on_trial")
    async def test_its_success_brings_the_endpoint_back(
        self, slots: Slots, live: LiveStore, valkey: Redis
    ) -> None:
        await self.trial(slots, valkey)

        (verdict,) = await slots.release([Ending(1, LEASE, ANSWERED)])
        await live.judge(verdict, RULE, others=(2,), away=0)

        seen = await state(live)
        assert seen.ejected_until == 0.0
        assert abs(seen.returned_at - time.time()) < 5
        assert (await slots.reserve({1: 4}, 3)).rooms[1].reserved == 3

    @pytest.mark.usefixtures("on_trial")
    async def test_its_failure_ejects_for_longer(
        self, slots: Slots, live: LiveStore, valkey: Redis
    ) -> None:
        await self.trial(slots, valkey)

        (verdict,) = await slots.release([Ending(1, LEASE, FAILED)])
        await live.judge(verdict, RULE, others=(2,), away=0)

        seen = await state(live)
        assert 55 < seen.ejected_until - verdict.at <= 60
        assert seen.ejected_times == 2

    @pytest.mark.usefixtures("on_trial")
    @pytest.mark.parametrize("outcome", [ANSWERED, FAILED])
    async def test_a_call_from_before_decides_nothing(
        self, slots: Slots, outcome: CallOutcome
    ) -> None:
        assert await slots.release([Ending(1, "old", outcome)]) == []

    @pytest.mark.usefixtures("on_trial")
    async def test_after_a_trial_without_outcome_there_is_another(
        self, slots: Slots, valkey: Redis
    ) -> None:
        await self.trial(slots, valkey)
        assert not await self.trial(slots, valkey, "second")

        await slots.release([Ending(1, LEASE, SILENT)])

        assert await self.trial(slots, valkey, "third")

    @pytest.mark.usefixtures("on_trial")
    async def test_a_dead_workers_trial_is_given_to_another(
        self, slots: Slots, valkey: Redis
    ) -> None:
        await self.trial(slots, valkey)
        seconds, _ = await valkey.time()

        await valkey.zadd(key(1), {LEASE: seconds * 1000 - 1})

        assert await self.trial(slots, valkey, "second")

    @pytest.mark.usefixtures("on_trial")
    async def test_a_trial_that_nobody_used_is_given_to_another(
        self, slots: Slots, valkey: Redis
    ) -> None:
        mine = worker(valkey)
        await mine.confirm(await mine.reserve({1: 4}, 1), {})

        assert await self.trial(slots, valkey)


class TestLeader:
    async def test_one_worker_holds_it(self, live: LiveStore) -> None:
        assert await live.hold_leadership("a", seconds=60)
        assert not await live.hold_leadership("b", seconds=60)
        assert await live.hold_leadership("a", seconds=60)

    async def test_another_follows_a_dead_one(self, live: LiveStore, valkey: Redis) -> None:
        await live.hold_leadership("a", seconds=60)

        await valkey.pexpire("llmq:leader", 1)
        await asyncio.sleep(0.01)

        assert await live.hold_leadership("b", seconds=60)


class TestWork:
    """What the limit is learned from; counted only while limits are learned."""

    async def learn(self, live: LiveStore, *, since: float) -> None:
        await live.store([(1, {"limit": 3, "limit_since": round(since * 1000)})])

    async def test_calls_are_taken_once(self, slots: Slots, live: LiveStore) -> None:
        await self.learn(live, since=time.time() - 60)
        await take(slots, 1, "running")
        await slots.release(
            [
                Ending(1, LEASE, ANSWERED, tokens=30, seconds=1.5),
                Ending(1, LEASE, ANSWERED, tokens=10, seconds=0.5),
                Ending(1, LEASE, FAILED, seconds=2.0),
                Ending(1, LEASE, SILENT),
            ]
        )

        first = await live.take_work([1, 2])
        second = await live.take_work([1, 2])

        seen = first[1].look
        assert (seen.in_use, seen.ended, seen.calls) == (1, 3, 3)
        assert (seen.tokens, seen.seconds) == (40, 4.0)
        assert first[1].limit == 3
        assert (first[2].look.in_use, first[2].limit, first[2].since) == (0, 0, 0.0)
        assert (second[1].look.ended, second[1].look.tokens) == (0, 0)

    async def test_calls_of_another_limit_only_count_as_ended(
        self, slots: Slots, live: LiveStore
    ) -> None:
        await self.learn(live, since=time.time() - 10)

        await slots.release([Ending(1, LEASE, ANSWERED, tokens=30, seconds=20.0)])

        seen = (await live.take_work([1]))[1].look
        assert (seen.ended, seen.calls, seen.tokens, seen.seconds) == (1, 0, 0, 0.0)

    async def test_nothing_is_counted_while_limits_are_not_learned(
        self, slots: Slots, live: LiveStore
    ) -> None:
        await slots.release([Ending(1, LEASE, ANSWERED, tokens=30, seconds=1.0)])

        assert (await live.take_work([1]))[1].look.ended == 0

    @pytest.mark.parametrize("tokens", [-5, 10**30])
    async def test_a_foreign_count_is_bounded(
        self, slots: Slots, live: LiveStore, tokens: int
    ) -> None:
        await self.learn(live, since=time.time() - 60)

        await slots.release([Ending(1, LEASE, ANSWERED, tokens=tokens, seconds=1.0)])

        assert 0 <= (await live.take_work([1]))[1].look.tokens <= 10_000_000

    async def test_a_limit_of_an_older_version_is_read(self, live: LiveStore) -> None:
        fields: dict[Any, Any] = {"limit": "3.7", "usual": "0.02", "learned_at": 1_000_000}
        await live.store([(1, fields)])

        work = (await live.take_work([1]))[1]

        assert (work.limit, work.since) == (3, 0.0)
        assert (await state(live)).limit == 3.7


async def test_state_that_was_never_written(live: LiveStore) -> None:
    at, states = await live.read([1, 2])

    assert states == {1: EMPTY, 2: EMPTY}
    assert at > 1e9
