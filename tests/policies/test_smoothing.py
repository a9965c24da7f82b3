"""Figures of looks a second apart, taken together."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given

from scheduling.policies.smoothing import STEADY_SECONDS, Pace, steadied
from scheduling.policies.waiting import LevelLoad, ModelSetLoad
from tests.policies.loads import load_of, loads


def test_rates_are_averaged_and_what_waits_and_runs_is_not() -> None:
    before = load_of(5, 5, slots=8, processing=8, service_seconds=2.0)
    levels = tuple(LevelLoad(9, 10.0, 20.0, 3) for _ in range(4))
    now = replace(before, levels=levels, processing=2, service_seconds=4.0)

    seen = steadied(now, before, STEADY_SECONDS)

    part = 1 - math.exp(-1)
    assert seen.levels[0].finished_per_second == pytest.approx(10 * part)
    assert seen.levels[0].arriving_per_second == pytest.approx(20 * part)
    assert (seen.levels[0].queued, seen.levels[0].most_running) == (9, 3)
    assert (seen.processing, seen.slots, seen.service_seconds) == (2, 8, 4.0)


@given(loads, loads)
def test_what_is_long_ago_says_nothing(now: ModelSetLoad, before: ModelSetLoad) -> None:
    seen = steadied(now, before, math.inf)

    for level, latest in zip(seen.levels, now.levels, strict=True):
        assert level.finished_per_second == pytest.approx(latest.finished_per_second, abs=1e-9)
        assert level.arriving_per_second == pytest.approx(latest.arriving_per_second, abs=1e-9)


@given(loads)
def test_after_a_time_without_figures_it_starts_anew(now: ModelSetLoad) -> None:
    assert steadied(now, load_of(), 1.0) == now


def test_a_clock_tells_how_long_a_tag_will_wait() -> None:
    pace = Pace()
    assert pace.seconds_to(100.0) == 0.0, "nothing is known yet"

    for _ in range(600):
        pace = pace.after(50.0, 1.0)

    assert pace.seconds_to(500.0) == pytest.approx(10.0)
    assert pace.seconds_to(-1.0) == 0.0


def test_a_clock_that_slows_down_is_noticed() -> None:
    pace = Pace()
    for moved in [100.0] * 300 + [10.0] * 300:
        pace = pace.after(moved, 1.0)

    assert pace.seconds_to(100.0) == pytest.approx(10.0, rel=0.1)
