"""The one estimate of waiting: what it must never do, and what it says of known cases."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.waiting import (
    LevelLoad,
    PoolLoad,
    level_rate,
    pool_rate,
    seconds_to_start,
    wait_seconds,
)
from tests.policies.loads import FLOORS, aheads, places, pool, pools

BUSY = {"slots": 10, "processing": 10, "service_seconds": 1.0, "standing": True}


def wait(load: PoolLoad, level: int, ahead: float) -> float | None:
    return wait_seconds(load, level, ahead=ahead, floors=FLOORS)


@given(pools, places, aheads, aheads)
def test_behind_more_one_waits_no_less(
    load: PoolLoad, level: int, one: float, other: float
) -> None:
    near, far = (wait(load, level, ahead) for ahead in sorted((one, other)))

    if pool_rate(load) is not None:
        assert far is not None
    if near is not None and far is not None:
        assert 0 <= near <= far * (1 + 1e-9)


@given(pools, aheads)
def test_only_a_free_slot_makes_it_nothing(load: PoolLoad, ahead: float) -> None:
    found = wait(load, 0, ahead)

    if found == 0:
        assert ahead < load.slots - load.processing


@given(pools, places, aheads)
def test_the_floor_bounds_the_wait(load: PoolLoad, level: int, ahead: float) -> None:
    rate, found = pool_rate(load), wait(load, level, ahead)

    if found and rate and FLOORS[level] and not load.levels[level].most_running:
        assert found <= (ahead + 1) / (rate * FLOORS[level]) * 1.0001


@given(pools, places, aheads, st.floats(1, 1000))
def test_who_is_careful_expects_no_less(
    load: PoolLoad, level: int, ahead: float, horizon: float
) -> None:
    expected = wait(load, level, ahead)
    careful = wait_seconds(load, level, ahead=ahead, floors=FLOORS, horizon_seconds=horizon)

    if expected is not None:
        assert careful is not None
        assert expected <= careful * (1 + 1e-9)


@given(pools, places, aheads, st.integers(1, 1000))
def test_more_work_of_better_levels_makes_nobody_sooner(
    load: PoolLoad, level: int, ahead: float, more: int
) -> None:
    first = load.levels[0]
    fuller = LevelLoad(first.queued + more, first.finished_per_second, first.arriving_per_second)
    plain = LevelLoad(first.queued, first.finished_per_second, first.arriving_per_second)
    before = wait(_with(load, plain), level, ahead)
    after = wait(_with(load, fuller), level, ahead)

    if level > 0 and before is not None and after is not None:
        assert before <= after * (1 + 1e-9)


def _with(load: PoolLoad, first: LevelLoad) -> PoolLoad:
    return PoolLoad(
        (first, *load.levels[1:]),
        load.slots,
        load.processing,
        load.service_seconds,
        load.standing,
    )


def test_it_starts_with_the_slot_that_frees_after_what_is_ahead() -> None:
    busy = pool(40, slots=8, processing=8, service_seconds=2.0, standing=True)

    assert pool_rate(busy) == 4.0
    assert wait(busy, 0, 39) == 10.0


def test_the_only_one_waits_for_a_slot() -> None:
    full = pool(slots=1, processing=1, service_seconds=8.0)

    assert wait(full, 2, 0) == 8.0


def test_free_slots_mean_no_wait_unless_nobody_takes_work() -> None:
    idle = {"slots": 4, "processing": 1, "service_seconds": 8.0}

    assert wait(pool(2, **idle), 3, 0) == 0.0
    assert wait(pool(3, **idle), 3, 0) == pytest.approx(8.0), "the fourth, at one in two seconds"
    assert wait(pool(2, **idle, standing=True), 3, 0) > 8.0  # type: ignore[operator]


def test_work_that_has_just_come_will_fill_the_slots() -> None:
    burst = {"slots": 8, "processing": 1, "service_seconds": 2.0}

    assert pool_rate(pool(20, **burst)) == 4.0
    assert pool_rate(pool(20, **burst, standing=True)) == 0.5


def test_a_few_that_ended_are_no_rate() -> None:
    def load(finished: float) -> PoolLoad:
        return PoolLoad((LevelLoad(0, finished),) * 4, **BUSY)  # type: ignore[arg-type]

    assert pool_rate(load(2.6)) == 10.0
    assert pool_rate(load(5.0)) == pytest.approx(20 - (20 / 15) ** 0.5)


def test_a_level_gets_what_better_ones_leave_and_its_floor_at_least() -> None:
    def load(better: float) -> PoolLoad:
        ran = (LevelLoad(arriving_per_second=better), LevelLoad(), LevelLoad(), LevelLoad(500))
        return PoolLoad(ran, **BUSY)  # type: ignore[arg-type]

    assert level_rate(load(4.0), 3, FLOORS) == pytest.approx(6.0)
    assert level_rate(load(9.9), 3, FLOORS) == pytest.approx(1.0)


def test_what_chance_may_take_is_not_counted_on() -> None:
    ran = (LevelLoad(arriving_per_second=4.0), LevelLoad(50), LevelLoad(), LevelLoad())
    load = PoolLoad(ran, **BUSY)  # type: ignore[arg-type]

    soon = level_rate(load, 1, FLOORS, horizon_seconds=30)
    later = level_rate(load, 1, FLOORS, horizon_seconds=3000)

    assert soon == pytest.approx(6.0 - 3 * (14 / 30) ** 0.5)
    assert later == pytest.approx(6.0 - 3 * (14 / 3000) ** 0.5)
    assert level_rate(load, 0, FLOORS, horizon_seconds=3) == level_rate(load, 0, FLOORS)


def test_a_short_horizon_leaves_half_a_floor_at_least() -> None:
    full = (LevelLoad(500, arriving_per_second=20.0), LevelLoad(50), LevelLoad(), LevelLoad())
    load = PoolLoad(full, **BUSY)  # type: ignore[arg-type]

    assert level_rate(load, 1, FLOORS, horizon_seconds=0.1) == pytest.approx(1.0)
    assert level_rate(load, 1, FLOORS, horizon_seconds=90) == pytest.approx(1.8)


def test_worse_levels_with_work_are_owed_their_floors() -> None:
    assert level_rate(pool(5, **BUSY), 0, FLOORS) == pytest.approx(10.0)
    assert level_rate(pool(5, 5, 5, 5, **BUSY), 0, FLOORS) == pytest.approx(5.5)


def test_a_levels_own_limit_bounds_its_rate() -> None:
    capped = PoolLoad((LevelLoad(5, most_running=2), *pool().levels[1:]), **BUSY)  # type: ignore[arg-type]

    assert level_rate(capped, 0, FLOORS) == 2.0


def test_better_levels_are_served_first_and_the_floor_meanwhile() -> None:
    assert wait(pool(0, 10, **BUSY), 1, 9) == pytest.approx(1.0)
    # 16 of realtime take 2 s at eight a second; high has had 4 of its 10 by then.
    assert wait(pool(16, 10, **BUSY), 1, 9) == pytest.approx(2.6)
    assert seconds_to_start(pool(16, 10, **BUSY), 1, work=4, floors=FLOORS) == pytest.approx(2.0)


@pytest.mark.parametrize("seed", range(5))
def test_the_median_is_within_a_factor_of_two_of_a_simulated_queue(seed: int) -> None:
    """One level, eight slots, exponential service: what each is told against what it then waits."""
    rng = random.Random(seed)
    free = [rng.expovariate(1 / 2.0) for _ in range(8)]
    ratios = []
    for ahead in range(200):
        slot = min(range(8), key=free.__getitem__)
        started = free[slot]
        free[slot] = started + rng.expovariate(1 / 2.0)
        told = wait(pool(0, 0, 200, slots=8, processing=8, service_seconds=2.0), 2, ahead)
        assert told is not None
        ratios.append(told / started)

    ratios.sort()
    assert 0.5 <= ratios[len(ratios) // 2] <= 2.0
