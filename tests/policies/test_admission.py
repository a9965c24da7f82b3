"""Admission by estimated wait: what it must never do, whatever the figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.admission import (
    LONGEST_RETRY_SECONDS,
    SHORTEST_RETRY_SECONDS,
    decide,
    desired_replicas,
)
from scheduling.policies.model_sets import model_sets_of
from scheduling.policies.waiting import LevelLoad, ModelSetLoad, seconds_to_start, wait_seconds
from tests.policies.loads import FLOORS, aheads, load_of, loads, places

LIMITS = (3.0, 30.0, 120.0, 600.0)


def verdict(load: ModelSetLoad, level: int, ahead: float):  # type: ignore[no-untyped-def]
    return decide(load, level, ahead=ahead, limit_seconds=LIMITS[level], floors=FLOORS)


def cautious(load: ModelSetLoad, level: int, ahead: float) -> float | None:
    return wait_seconds(load, level, ahead=ahead, floors=FLOORS, horizon_seconds=LIMITS[level])


@given(loads, places, aheads)
def test_a_refusal_means_a_careful_estimate_above_the_limit(
    load: ModelSetLoad, level: int, ahead: float
) -> None:
    found, careful = verdict(load, level, ahead), cautious(load, level, ahead)

    if not found.admitted:
        assert careful is not None
        assert careful > LIMITS[level]
        assert found.wait_seconds == wait_seconds(load, level, ahead=ahead, floors=FLOORS)
        assert ahead >= load.slots


@given(loads, places, aheads)
def test_a_refusal_says_when(load: ModelSetLoad, level: int, ahead: float) -> None:
    found = verdict(load, level, ahead)

    if not found.admitted:
        assert SHORTEST_RETRY_SECONDS <= found.retry_after_seconds <= LONGEST_RETRY_SECONDS


@given(loads, places, aheads, aheads)
def test_behind_more_it_waits_and_retries_no_sooner(
    load: ModelSetLoad, level: int, one: float, other: float
) -> None:
    less, more = sorted((one, other))

    near, far = verdict(load, level, less), verdict(load, level, more)

    assert near.wait_seconds <= far.wait_seconds
    assert near.admitted or not far.admitted
    assert near.retry_after_seconds <= far.retry_after_seconds


@given(loads, places, aheads)
def test_after_its_retry_time_it_would_be_admitted(
    load: ModelSetLoad, level: int, ahead: float
) -> None:
    """By the estimate's own account of what has started by then."""
    found = verdict(load, level, ahead)

    if not found.admitted and found.retry_after_seconds < LONGEST_RETRY_SECONDS:
        within = found.retry_after_seconds * 1.001 + LIMITS[level]
        started = cautious(load, level, ahead)
        few = seconds_to_start(load, level, work=ahead - load.slots + 1, floors=FLOORS)
        assert started is not None
        assert few is not None
        assert started <= within or few <= within - LIMITS[level]


@given(places, aheads, st.integers(1, 100))
def test_before_anything_ended_nothing_is_refused(level: int, ahead: float, slots: int) -> None:
    assert verdict(load_of(10_000, slots=slots, standing=True), level, ahead).admitted


@given(loads, places, st.data())
def test_as_many_as_there_are_slots_may_always_wait(
    load: ModelSetLoad, level: int, data: st.DataObject
) -> None:
    ahead = data.draw(st.integers(0, load.slots - 1))

    assert verdict(load, level, ahead).admitted


def test_a_slow_endpoint_may_have_a_short_realtime_queue() -> None:
    slow = load_of(1, slots=2, processing=2, service_seconds=60.0, standing=True)

    assert verdict(slow, 0, 1).admitted
    refused = verdict(slow, 0, 2)
    assert not refused.admitted
    assert refused.retry_after_seconds == pytest.approx(30.0), "one of two ends every 30 s"


def test_the_decision_does_not_count_on_chance_and_what_is_told_does_not_fear_it() -> None:
    """Ten a second end, high takes six: 4 are left to normal, and 2 on which it can count."""
    better = LevelLoad(finished_per_second=6.0, arriving_per_second=6.0)
    levels = (LevelLoad(), better, LevelLoad(400), LevelLoad())
    load = ModelSetLoad(levels, 20, 20, 2.0, standing=True)

    assert verdict(load, 2, 399).wait_seconds == pytest.approx(100.0)
    assert not verdict(load, 2, 399).admitted, "a limit of 120 s might not be kept"
    assert verdict(load, 2, 300).admitted


def test_endpoints_that_share_a_model_are_one_model_set() -> None:
    found = model_sets_of(
        [
            (4, frozenset("a")),
            (8, frozenset("b")),
            (1, frozenset("c")),
            (2, frozenset("ab")),
        ]
    )

    assert sorted(found) == [(1, frozenset("c")), (14, frozenset("ab"))]


@given(st.lists(st.tuples(st.integers(1, 9), st.frozensets(st.sampled_from("abcdef"), min_size=1))))
def test_model_sets_share_no_model_and_keep_every_slot(
    endpoints: list[tuple[int, frozenset[str]]],
) -> None:
    found = model_sets_of(endpoints)

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
