"""Hedges are rare, late enough, and only for those who wait; a return is ramped up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies.hedging import Budget, Hedging
from balancing.policies.slow_start import SlowStart

RULE = Hedging()


@pytest.mark.parametrize(
    ("level", "hedged"), [("realtime", True), ("high", True), ("normal", False), ("low", False)]
)
def test_only_where_somebody_waits(level: str, hedged: bool) -> None:
    assert RULE.applies_to(level) is hedged


def test_overdue_is_three_times_the_expected_and_two_seconds() -> None:
    assert RULE.after_seconds(0.5) == 3.5
    assert RULE.after_seconds(0.0) == 2.0


@given(requests=st.integers(0, 3000), wishes=st.lists(st.booleans(), max_size=3000))
def test_hedges_stay_within_their_share(requests: int, wishes: list[bool]) -> None:
    budget, hedges, sent = Budget(), 0, 0
    for wish in wishes:
        budget, sent = RULE.earn(budget), sent + 1
        spent = RULE.spend(budget) if wish else None
        if spent is not None:
            budget, hedges = spent, hedges + 1

        assert hedges <= RULE.most * sent + 1e-6
    assert RULE.earn(budget, requests).hedges <= RULE.saved


def test_a_calm_time_lays_by_only_so_many() -> None:
    budget, hedges = RULE.earn(Budget(), 1_000_000), 0
    while (spent := RULE.spend(budget)) is not None:
        budget, hedges = spent, hedges + 1

    assert hedges == 10


def test_hedging_can_be_turned_off() -> None:
    off = Hedging(most=0.0)

    assert not off.applies_to("realtime")
    assert off.spend(off.earn(Budget(), 1000)) is None


class TestSlowStart:
    def test_it_ramps_up_from_a_tenth_to_all(self) -> None:
        shares = [SlowStart().share(100.0, 100.0 + after) for after in (0, 15, 30, 300)]

        assert shares == [0.1, 0.5, 1.0, 1.0]

    def test_who_was_never_away_has_all(self) -> None:
        assert SlowStart().share(0.0, 5.0) == 1.0

    def test_it_can_be_turned_off(self) -> None:
        assert SlowStart(seconds=0.0).share(100.0, 100.0) == 1.0

    @given(st.floats(1, 1e9), st.floats(-1e3, 1e9), st.floats(0, 1e4))
    def test_a_share_is_never_nothing(self, returned: float, after: float, seconds: float) -> None:
        assert 0.0 < SlowStart(seconds).share(returned, returned + after) <= 1.0
