"""When the next jobs start: known cases, and what no rehearsal may say."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.policies.durations import Durations
from scheduling.policies.rehearsal import Running, Starts, Waiting, rehearse
from tests.field import examples

TEN = Durations(10.0, 10.0)
SECOND, MINUTE = Durations(1.0, 10.0), Durations(60.0, 10.0)
ages = st.lists(st.floats(0, 100), max_size=80)
sizes = st.lists(st.sampled_from([SECOND, TEN, MINUTE]), max_size=50)


def played(running: list[Running], waiting: list[Durations], *, slots: int) -> Starts:
    queue = [Waiting(each, 10.0, each.seconds / 10) for each in waiting]
    typical = [Waiting(TEN, 10.0, 1.0)]
    return rehearse(running, queue, typical, slots=slots, rng=random.Random(1))


def running(*aged: float, of: Durations = TEN) -> list[Running]:
    return [Running(of, 10.0, age) for age in aged]


@settings(max_examples=examples(50, 5_000), deadline=None)
@given(ages, sizes, st.integers(1, 200), st.floats(0, 1e5), st.floats(0, 1e5))
def test_behind_more_work_nobody_starts_sooner(
    aged: list[float], waiting: list[Durations], slots: int, one: float, other: float
) -> None:
    found = played(running(*aged), waiting, slots=slots)

    near, far = (found.after(work, slots / 10) for work in sorted((one, other)))

    assert 0 <= near <= far


def test_slots_taken_at_one_moment_free_at_one_moment() -> None:
    """Five behind four busy slots wait for what is left, and the fifth for a whole job more."""
    found = played(running(4.0, 4.0, 4.0, 4.0), [TEN] * 5, slots=4)

    told = [found.after(work, 0.4) for work in range(5)]

    assert told == pytest.approx([6.0, 6.0, 6.0, 6.0, 16.0])


def test_free_slots_are_taken_at_once() -> None:
    found = played(running(4.0), [TEN] * 4, slots=4)

    assert [found.after(work, 0.4) for work in range(4)] == pytest.approx([0.0, 0.0, 0.0, 6.0])


def test_short_jobs_pass_while_a_long_one_runs() -> None:
    found = played(running(0.0, of=MINUTE), [SECOND] * 10, slots=2)

    assert found.after(0.9, 0.2) == pytest.approx(9.0), "one slot runs nine of a second"


def test_slots_that_go_away_leave_the_rest() -> None:
    """Eight run, and four slots are left: the first four to end leave none."""
    found = played(running(*range(8)), [TEN] * 2, slots=4)

    assert found.after(0, 0.4) == pytest.approx(7.0)


def test_a_thousand_slots_are_rehearsed_by_a_part() -> None:
    found = played(running(*[4.0] * 1000), [TEN] * 50, slots=1000)

    assert len(found.work) <= 200
    assert found.after(500, 100.0) == pytest.approx(6.0)
