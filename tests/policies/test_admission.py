"""Admission by estimated wait: what it must never do, whatever the figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.admission import (
    LONGEST_RETRY_SECONDS,
    SHORTEST_RETRY_SECONDS,
    STEADY_SECONDS,
    LevelLoad,
    Pace,
    PoolLoad,
    decide,
    desired_replicas,
    level_rate,
    pool_rate,
    pools_of,
    steadied,
    wait_seconds,
)

FLOORS = (0.0, 0.20, 0.15, 0.10)
LIMITS = (3.0, 30.0, 120.0, 600.0)

levels = st.builds(
    LevelLoad,
    queued=st.integers(0, 100_000),
    finished_per_second=st.floats(0, 5_000, allow_nan=False),
)
pools = st.builds(
    PoolLoad,
    levels=st.tuples(levels, levels, levels, levels),
    slots=st.integers(1, 5_000),
    processing=st.integers(0, 5_000),
    service_seconds=st.one_of(st.just(0.0), st.floats(0.001, 600)),
    standing=st.booleans(),
)
aheads = st.floats(0, 1_000_000, allow_nan=False)
places = st.integers(0, 3)


def pool(*queued: int, **fields: object) -> PoolLoad:
    counts = (*queued, 0, 0, 0, 0)[:4]
    return PoolLoad(levels=tuple(LevelLoad(count) for count in counts), **fields)  # type: ignore[arg-type]


def verdict(load: PoolLoad, level: int, ahead: float):  # type: ignore[no-untyped-def]
    return decide(load, level, ahead=ahead, limit_seconds=LIMITS[level], floors=FLOORS)


@given(pools, places, aheads)
def test_a_refusal_means_an_estimate_above_the_limit(
    load: PoolLoad, level: int, ahead: float
) -> None:
    found = verdict(load, level, ahead)

    if not found.admitted:
        assert found.wait_seconds > LIMITS[level]
        assert ahead >= load.slots


@given(pools, places, aheads)
def test_a_refusal_says_when(load: PoolLoad, level: int, ahead: float) -> None:
    found = verdict(load, level, ahead)

    if not found.admitted:
        assert SHORTEST_RETRY_SECONDS <= found.retry_after_seconds <= LONGEST_RETRY_SECONDS


@given(pools, places, aheads, aheads)
def test_behind_more_it_waits_and_retries_no_sooner(
    load: PoolLoad, level: int, one: float, other: float
) -> None:
    less, more = sorted((one, other))

    near, far = verdict(load, level, less), verdict(load, level, more)

    assert near.wait_seconds <= far.wait_seconds
    assert near.admitted or not far.admitted
    assert near.retry_after_seconds <= far.retry_after_seconds


@given(pools, places, aheads)
def test_after_its_retry_time_it_would_be_admitted(
    load: PoolLoad, level: int, ahead: float
) -> None:
    found = verdict(load, level, ahead)
    rate = level_rate(load, level, FLOORS)

    if not found.admitted and found.retry_after_seconds < LONGEST_RETRY_SECONDS:
        assert rate is not None
        # Everything better than it has drained as well by then, at the pool's rate.
        left = max(0.0, ahead - rate * found.retry_after_seconds * 1.001)
        again = verdict(_drained(load, level, found.retry_after_seconds), level, left)
        assert again.admitted


def _drained(load: PoolLoad, level: int, seconds: float) -> PoolLoad:
    above = sum(each.queued for each in load.levels[:level])
    rate = pool_rate(load) or 0.0
    gone = min(above, int(rate * seconds) + 1)
    better = []
    for each in load.levels[:level]:
        taken = min(each.queued, gone)
        gone -= taken
        better.append(LevelLoad(each.queued - taken, each.finished_per_second))
    return PoolLoad(
        levels=(*better, *load.levels[level:]),
        slots=load.slots,
        processing=load.processing,
        service_seconds=load.service_seconds,
        standing=load.standing,
    )


@given(places, aheads, st.integers(1, 100))
def test_before_anything_ended_nothing_is_refused(level: int, ahead: float, slots: int) -> None:
    assert verdict(pool(10_000, slots=slots, standing=True), level, ahead).admitted


@given(pools, places, st.data())
def test_as_many_as_there_are_slots_may_always_wait(
    load: PoolLoad, level: int, data: st.DataObject
) -> None:
    ahead = data.draw(st.integers(0, load.slots - 1))

    assert verdict(load, level, ahead).admitted


def test_a_slow_endpoint_may_have_a_short_realtime_queue() -> None:
    slow = pool(1, slots=2, processing=2, service_seconds=60.0, standing=True)

    assert verdict(slow, 0, 1).admitted
    refused = verdict(slow, 0, 2)
    assert not refused.admitted
    assert refused.retry_after_seconds == pytest.approx(30.0), "one of two ends every 30 s"


def test_the_wait_is_what_is_ahead_by_the_rate() -> None:
    busy = pool(40, slots=8, processing=8, service_seconds=2.0, standing=True)

    assert pool_rate(busy) == 4.0
    assert wait_seconds(busy, 0, ahead=40, floors=FLOORS) == 10.0
    assert verdict(busy, 0, 40).retry_after_seconds == 7.0


def test_work_that_has_just_come_will_fill_the_slots() -> None:
    burst = {"slots": 8, "processing": 1, "service_seconds": 2.0}

    assert pool_rate(pool(20, **burst)) == 4.0
    assert pool_rate(pool(20, **burst, standing=True)) == 0.5


def test_a_level_gets_what_better_ones_leave_and_its_floor_at_least() -> None:
    def load(better: float) -> PoolLoad:
        ran = (LevelLoad(0, better), LevelLoad(), LevelLoad(), LevelLoad(500))
        return PoolLoad(ran, slots=10, processing=10, service_seconds=1.0, standing=True)

    assert level_rate(load(4.0), 3, FLOORS) == pytest.approx(6.0)
    assert level_rate(load(9.9), 3, FLOORS) == pytest.approx(1.0)


def test_worse_levels_with_work_are_owed_their_floors() -> None:
    full = {"slots": 10, "processing": 10, "service_seconds": 1.0, "standing": True}

    assert level_rate(pool(5, **full), 0, FLOORS) == pytest.approx(10.0)
    assert level_rate(pool(5, 5, 5, 5, **full), 0, FLOORS) == pytest.approx(5.5)


def test_better_levels_are_served_first() -> None:
    load = pool(20, 10, slots=10, processing=10, service_seconds=1.0, standing=True)

    alone = wait_seconds(
        pool(0, 10, slots=10, processing=10, service_seconds=1.0), 1, ahead=10, floors=FLOORS
    )
    behind = wait_seconds(load, 1, ahead=10, floors=FLOORS)

    assert alone == 1.0
    assert behind == pytest.approx(3.0)


def test_endpoints_that_share_a_model_are_one_pool() -> None:
    found = pools_of(
        [
            (4, frozenset("a")),
            (8, frozenset("b")),
            (1, frozenset("c")),
            (2, frozenset("ab")),
        ]
    )

    assert sorted(found) == [(1, frozenset("c")), (14, frozenset("ab"))]


@given(st.lists(st.tuples(st.integers(1, 9), st.frozensets(st.sampled_from("abcdef"), min_size=1))))
def test_pools_share_no_model_and_keep_every_slot(
    endpoints: list[tuple[int, frozenset[str]]],
) -> None:
    found = pools_of(endpoints)

    assert sum(slots for slots, _ in found) == sum(slots for slots, _ in endpoints)
    names = [name for _, models in found for name in models]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("queued", "busy", "expected"),
    [
        (0, 0.0, 0),
        (0, 0.5, 1),
        (0, 0.75, 2),
        (120, 1.0, 2),  # 120 / 1 a second = the target of 120 s
        (240, 1.0, 4),
        (241, 1.0, 5),
    ],
)
def test_desired_replicas(queued: int, busy: float, expected: int) -> None:
    found = desired_replicas(
        replicas=2, queued={2: queued}, rates={2: 1.0}, targets={2: 120.0}, busy_share=busy
    )

    assert found == expected


def test_an_unknown_rate_asks_for_no_more() -> None:
    found = desired_replicas(
        replicas=3, queued={0: 500}, rates={0: None}, targets={0: 3.0}, busy_share=1.0
    )

    assert found == 3


def test_what_chance_may_take_is_not_counted_on() -> None:
    ended = LevelLoad(queued=0, finished_per_second=6.0)
    own = LevelLoad(queued=100, finished_per_second=4.0)
    load = PoolLoad((ended, own, LevelLoad(), LevelLoad()), 20, 20, 2.0, standing=True)

    soon = level_rate(load, 1, FLOORS, horizon_seconds=30)
    later = level_rate(load, 1, FLOORS, horizon_seconds=3000)

    assert soon == pytest.approx(4.0 - 3 * (16.0 / 30) ** 0.5)
    assert later == pytest.approx(4.0 - 3 * (16.0 / 3000) ** 0.5)
    assert level_rate(load, 1, FLOORS) == 4.0
    assert wait_seconds(load, 1, ahead=100, floors=FLOORS) == 25.0, "the wait told is the expected"
    assert level_rate(load, 0, FLOORS, horizon_seconds=3) == level_rate(load, 0, FLOORS)
    assert not verdict(load, 1, 100).admitted, "a limit of 30 s might not be kept"
    assert verdict(load, 1, 50).admitted


def test_a_better_level_counts_with_what_it_takes_and_a_worse_one_with_its_floor() -> None:
    better = LevelLoad(finished_per_second=6.0)
    load = PoolLoad((better, LevelLoad(50), LevelLoad(), LevelLoad(5)), 20, 20, 2.0, standing=True)

    assert level_rate(load, 1, FLOORS) == pytest.approx(10 - 6 - 1)


def test_rates_are_averaged_over_looks_and_what_runs_is_not() -> None:
    before = replace(pool(5, 5, processing=8, service_seconds=2.0), slots=8)
    now = replace(before, levels=tuple(LevelLoad(9, 10.0) for _ in range(4)), processing=2)

    seen = steadied(now, before, STEADY_SECONDS)

    assert seen.levels[0].finished_per_second == pytest.approx(10 * (1 - math.exp(-1)))
    assert seen.levels[0].queued == 9
    assert seen.processing == 2
    assert steadied(now, before, 1e9) == now


def test_a_clock_tells_how_long_a_tag_will_wait() -> None:
    pace = Pace()
    assert pace.seconds_to(100.0) == 0.0, "nothing is known yet"

    for _ in range(600):
        pace = pace.after(50.0, 1.0)

    assert pace.seconds_to(500.0) == pytest.approx(10.0)


def test_a_clock_that_slows_down_is_noticed() -> None:
    pace = Pace()
    for moved in [100.0] * 300 + [10.0] * 300:
        pace = pace.after(moved, 1.0)

    assert pace.seconds_to(100.0) == pytest.approx(10.0, rel=0.1)
