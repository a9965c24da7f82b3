"""The one estimate of waiting: what it must never do, and what it says of known cases."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.waiting import (
    LevelLoad,
    ModelSetLoad,
    level_rate,
    seconds_to_start,
    total_rate,
    wait_seconds,
)
from tests.policies.loads import FLOORS, aheads, load_of, loads, places

BUSY = {"slots": 10, "processing": 10, "service_seconds": 1.0, "standing": True}


def wait(load: ModelSetLoad, level: int, ahead: float) -> float | None:
    return wait_seconds(load, level, ahead=ahead, floors=FLOORS)


@given(loads, places, aheads, aheads)
def test_behind_more_one_waits_no_less(
    load: ModelSetLoad, level: int, one: float, other: float
) -> None:
    near, far = (wait(load, level, ahead) for ahead in sorted((one, other)))

    if total_rate(load) is not None:
        assert far is not None
    if near is not None and far is not None:
        assert 0 <= near <= far * (1 + 1e-9)


@given(loads, aheads)
def test_only_a_free_slot_makes_it_nothing(load: ModelSetLoad, ahead: float) -> None:
    found = wait(load, 0, ahead)

    if found == 0:
        assert ahead < load.slots - load.processing


@given(loads, places, aheads)
def test_the_floor_bounds_the_wait(load: ModelSetLoad, level: int, ahead: float) -> None:
    rate, found = total_rate(load), wait(load, level, ahead)

    if found and rate and FLOORS[level] and not load.levels[level].most_running:
        assert found <= (ahead + 1) / (rate * FLOORS[level]) * 1.0001


@given(loads, places, aheads, st.floats(1, 1000))
def test_who_is_careful_expects_no_less(
    load: ModelSetLoad, level: int, ahead: float, horizon: float
) -> None:
    expected = wait(load, level, ahead)
    careful = wait_seconds(load, level, ahead=ahead, floors=FLOORS, horizon_seconds=horizon)

    if expected is not None:
        assert careful is not None
        assert expected <= careful * (1 + 1e-9)


@given(loads, places, aheads, st.integers(1, 1000))
def test_more_work_of_better_levels_makes_nobody_sooner(
    load: ModelSetLoad, level: int, ahead: float, more: int
) -> None:
    first = load.levels[0]
    fuller = LevelLoad(first.queued + more, first.finished_per_second, first.arriving_per_second)
    plain = LevelLoad(first.queued, first.finished_per_second, first.arriving_per_second)
    before = wait(_with(load, plain), level, ahead)
    after = wait(_with(load, fuller), level, ahead)

    if level > 0 and before is not None and after is not None:
        assert before <= after * (1 + 1e-9)


def _with(load: ModelSetLoad, first: LevelLoad) -> ModelSetLoad:
    return ModelSetLoad(
        (first, *load.levels[1:]),
        load.slots,
        load.processing,
        load.service_seconds,
        load.standing,
    )


def test_it_starts_with_the_slot_that_frees_after_what_is_ahead() -> None:
    busy = load_of(40, slots=8, processing=8, service_seconds=2.0, standing=True)

    assert total_rate(busy) == 4.0
    assert wait(busy, 0, 39) == 10.0


def test_the_only_one_waits_for_a_slot() -> None:
    full = load_of(slots=1, processing=1, service_seconds=8.0)

    assert wait(full, 2, 0) == 8.0


def test_free_slots_mean_no_wait_unless_nobody_takes_work() -> None:
    idle = {"slots": 4, "processing": 1, "service_seconds": 8.0}

    assert wait(load_of(2, **idle), 3, 0) == 0.0
    assert wait(load_of(3, **idle), 3, 0) == pytest.approx(8.0), "the fourth, at one in two seconds"
    assert wait(load_of(2, **idle, standing=True), 3, 0) > 8.0  # type: ignore[operator]


def test_work_that_has_just_come_will_fill_the_slots() -> None:
    burst = {"slots": 8, "processing": 1, "service_seconds": 2.0}

    assert total_rate(load_of(20, **burst)) == 4.0
    assert total_rate(load_of(20, **burst, standing=True)) == 0.5


def test_a_few_that_ended_are_no_rate() -> None:
    def load(finished: float) -> ModelSetLoad:
        return ModelSetLoad((LevelLoad(0, finished),) * 4, **BUSY)  # type: ignore[arg-type]

    assert total_rate(load(2.6)) == 10.0
    assert total_rate(load(5.0)) == pytest.approx(20 - (20 / 15) ** 0.5)


def test_a_level_gets_what_better_ones_leave_and_its_floor_at_least() -> None:
    def load(better: float) -> ModelSetLoad:
        ran = (LevelLoad(arriving_per_second=better), LevelLoad(), LevelLoad(), LevelLoad(500))
        return ModelSetLoad(ran, **BUSY)  # type: ignore[arg-type]

    assert level_rate(load(4.0), 3, FLOORS) == pytest.approx(6.0)
    assert level_rate(load(9.9), 3, FLOORS) == pytest.approx(1.0)


def test_what_chance_may_take_is_not_counted_on() -> None:
    ran = (LevelLoad(arriving_per_second=4.0), LevelLoad(50), LevelLoad(), LevelLoad())
    load = ModelSetLoad(ran, **BUSY)  # type: ignore[arg-type]

    soon = level_rate(load, 1, FLOORS, horizon_seconds=30)
    later = level_rate(load, 1, FLOORS, horizon_seconds=3000)

    assert soon == pytest.approx(6.0 - 3 * (14 / 30) ** 0.5)
    assert later == pytest.approx(6.0 - 3 * (14 / 3000) ** 0.5)
    assert level_rate(load, 0, FLOORS, horizon_seconds=3) == level_rate(load, 0, FLOORS)


def test_a_short_horizon_leaves_half_a_floor_at_least() -> None:
    full = (LevelLoad(500, arriving_per_second=20.0), LevelLoad(50), LevelLoad(), LevelLoad())
    load = ModelSetLoad(full, **BUSY)  # type: ignore[arg-type]

    assert level_rate(load, 1, FLOORS, horizon_seconds=0.1) == pytest.approx(1.0)
    assert level_rate(load, 1, FLOORS, horizon_seconds=90) == pytest.approx(1.8)


def test_worse_levels_with_work_are_owed_their_floors() -> None:
    assert level_rate(load_of(5, **BUSY), 0, FLOORS) == pytest.approx(10.0)
    assert level_rate(load_of(5, 5, 5, 5, **BUSY), 0, FLOORS) == pytest.approx(5.5)


def test_a_levels_own_limit_bounds_its_rate() -> None:
    capped = ModelSetLoad((LevelLoad(5, most_running=2), *load_of().levels[1:]), **BUSY)  # type: ignore[arg-type]

    assert level_rate(capped, 0, FLOORS) == 2.0


def test_better_levels_are_served_first_and_the_floor_meanwhile() -> None:
    assert wait(load_of(0, 10, **BUSY), 1, 9) == pytest.approx(1.0)
    # 16 of realtime take 2 s at eight a second; high has had 4 of its 10 by then.
    assert wait(load_of(16, 10, **BUSY), 1, 9) == pytest.approx(2.6)
    assert seconds_to_start(load_of(16, 10, **BUSY), 1, work=4, floors=FLOORS) == pytest.approx(2.0)


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
        told = wait(load_of(0, 0, 200, slots=8, processing=8, service_seconds=2.0), 2, ahead)
        assert told is not None
        ratios.append(told / started)

    ratios.sort()
    assert 0.5 <= ratios[len(ratios) // 2] <= 2.0
