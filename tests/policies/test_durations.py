"""How long jobs run, by those that ended and those that still run."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduling.policies.durations import Durations, since_change, slowness
from tests.field import examples

times = st.floats(0, 10_000)
costs = st.floats(0, 1e7)
answers = st.lists(st.tuples(times, costs), min_size=1, max_size=200)


def durations(*seconds: float, costs: list[float] | None = None) -> Durations:
    made = Durations.of(seconds, costs or [10.0] * len(seconds))
    assert made is not None
    return made


def lengths(count: int, mean: float, *, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [mean * rng.lognormvariate(-0.08, 0.4) for _ in range(count)]


@settings(max_examples=examples(50, 5_000), deadline=None)
@given(answers, costs, st.floats(0, 1e6), st.integers(0, 99))
def test_whatever_ended_a_drawn_time_is_a_time(
    ended: list[tuple[float, float]], cost: float, age: float, seed: int
) -> None:
    found = durations(*[s for s, _ in ended], costs=[c for _, c in ended])

    drawn = found.drawn(random.Random(seed), cost, age=age)

    assert 0 < found.expected(cost) < float("inf")
    assert age <= drawn * (1 + 1e-6)
    assert 0 < found.chance_of(cost, age) <= 1 + 1e-6
    assert slowness([(found, cost, age)]) >= 1


def test_nothing_ended_nothing_known() -> None:
    assert Durations.of([], []) is None


def test_drawn_times_are_those_that_are_known() -> None:
    found = durations(1.0, 2.0, 3.0, 6.0)
    rng = random.Random(1)

    assert {round(found.drawn(rng, 10.0), 6) for _ in range(200)} == {1.0, 2.0, 3.0, 6.0}
    assert fmean(found.drawn(rng, 10.0) for _ in range(2000)) == pytest.approx(3.0, rel=0.1)
    assert {round(found.drawn(rng, 10.0, age=2.5), 6) for _ in range(99)} == {3.0, 6.0}


def test_who_outlived_all_that_is_known_goes_on_for_as_long_again_at_most() -> None:
    rng = random.Random(1)

    assert all(8.0 <= durations(1.0, 6.0).drawn(rng, 10.0, age=8.0) <= 16.0 for _ in range(99))


def test_costs_tell_of_lengths_where_they_did() -> None:
    found = durations(1.0, 60.0, 1.0, 60.0, costs=[10.0, 600.0, 10.0, 600.0])

    assert found.expected(10.0) == pytest.approx(1.5, rel=0.5)
    assert found.expected(600.0) == pytest.approx(60.0)
    assert durations(1.0, 3.0, costs=[50.0, 10.0]).expected(99.0) == 2.0, "longer, for less"


@pytest.mark.parametrize("times_as_long", [2.0, 0.5])
def test_a_change_of_speed_cuts_off_what_was_before(times_as_long: float) -> None:
    ended = lengths(20, 10.0 * times_as_long, seed=2) + lengths(180, 10.0)

    assert since_change(ended) in (10, 20)
    assert durations(*ended).seconds == pytest.approx(10.0 * times_as_long, rel=0.25)


def test_chance_is_no_change() -> None:
    cut = sum(since_change(lengths(200, 10.0, seed=seed)) < 200 for seed in range(200))

    assert cut <= 4


def test_what_runs_tells_of_a_slower_speed_before_anything_has_ended() -> None:
    found = durations(*lengths(200, 10.0))

    assert slowness([(found, 10.0, age) for age in (3.0, 9.0, 5.0, 7.0)]) == 1.0
    assert slowness([(found, 10.0, age) for age in (30.0, 31.0, 32.0, 33.0)]) >= 1.5
    assert slowness([(found, 10.0, 20.0)]) == 1.0, "one may be long by chance"
    assert slowness([]) == 1.0


def test_of_jobs_of_mixed_lengths_the_long_ones_are_those_found_running() -> None:
    """Of 61 jobs one takes a minute, but half of the time a slot runs one of these."""
    found = durations(*([1.0] * 60 + [60.0]) * 3)

    assert slowness([(found, 10.0, age) for age in (10.0, 25.0, 40.0, 0.5)]) == 1.0
