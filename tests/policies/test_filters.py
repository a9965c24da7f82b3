"""What each balancing filter asks, and that profiles use all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from balancing.policies import filters, profiles
from balancing.policies.filters import (
    NotSlow,
    WithinBound,
    below_limit,
    has_room,
    is_healthy,
    not_ejected,
    not_failing,
    not_slow,
    serves_kind,
    serves_model,
    untried,
    within_bound,
    within_rate_limits,
)
from balancing.policies.profile import Filter, Profile
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot
from tests.policies.endpoints import NOW, endpoint, named, situation

FILTERS: dict[str, Filter] = named(filters)
PROFILES = [found for found in vars(profiles).values() if isinstance(found, Profile)]
EVERYWHERE = {"serves_model", "serves_kind"}


class TestFilters:
    @pytest.mark.parametrize(
        ("passes", "good", "bad"),
        [
            (serves_model, endpoint(), endpoint(model_names=frozenset({"n"}))),
            (serves_kind, endpoint(), endpoint(apis=frozenset({"embedding"}))),
            (has_room, endpoint(free=1), endpoint(free=0)),
            (is_healthy, endpoint(), endpoint(is_healthy=False)),
            (not_ejected, endpoint(ejected_until=NOW), endpoint(ejected_until=NOW + 0.1)),
            (not_ejected, endpoint(on_trial=True), endpoint(on_trial=True, in_use=1)),
            (below_limit, endpoint(in_use=7), endpoint(in_use=8)),
            (below_limit, endpoint(in_use=2, limit=3), endpoint(in_use=3, limit=3)),
            (below_limit, endpoint(in_use=3), endpoint(in_use=3, returned_at=NOW - 10)),
            (within_rate_limits, endpoint(requests_left=1), endpoint(requests_left=0)),
            (within_rate_limits, endpoint(tokens_left=30), endpoint(tokens_left=29)),
            (not_slow, endpoint(token_seconds=0.06), endpoint(token_seconds=0.061)),
            (untried, endpoint(2), endpoint(1)),
            (not_failing, endpoint(failing_until=NOW), endpoint(failing_until=NOW + 0.1)),
            (within_bound, endpoint(in_use=1), endpoint(in_use=2)),
        ],
    )
    def test_each_asks_one_question(
        self, passes: Filter, good: EndpointSnapshot, bad: EndpointSnapshot
    ) -> None:
        fastest = endpoint(9, token_seconds=0.01)
        bad, good = (replace(e, measured_at=NOW) for e in (bad, good))

        def seen(found: EndpointSnapshot) -> Situation:
            return situation(
                found, fastest, tried=frozenset({1}), input_tokens=20, output_tokens=10
            )

        assert passes(good, seen(good))
        assert not passes(bad, seen(bad))

    def test_all_of_them_are_used(self) -> None:
        used = {f for profile in PROFILES for f in (*profile.required, *profile.preferred)}

        assert used == {f for name, f in FILTERS.items() if name not in EVERYWHERE}


class TestNotSlow:
    fast = endpoint(1, token_seconds=0.01, in_use=8, free=0)

    def slow(self, **fields: float) -> EndpointSnapshot:
        return endpoint(2, **{"token_seconds": 0.1, "measured_at": NOW - 5, **fields})

    def test_it_waits_for_a_fast_one_that_is_full(self) -> None:
        slow = self.slow()

        assert not not_slow(slow, situation(self.fast, slow))

    @pytest.mark.parametrize(
        "away",
        [
            {"is_healthy": False},
            {"ejected_until": NOW + 9},
            {"ejected_until": NOW - 1, "on_trial": True},
            {"requests_left": 0},
            {"tokens_left": 0},
        ],
    )
    def test_but_not_for_one_that_takes_no_work(self, away: dict[str, Any]) -> None:
        slow, gone = self.slow(), replace(self.fast, **away)

        assert not_slow(slow, situation(gone, slow))

    def test_idle_for_long_it_is_measured_again_by_a_single_call(self) -> None:
        idle = self.slow(measured_at=NOW - 30)

        assert not_slow(idle, situation(self.fast, idle))
        assert not not_slow(replace(idle, in_use=1), situation(self.fast, idle))

    def test_what_was_never_measured_is_not_slow(self) -> None:
        fresh = endpoint(2)

        assert not_slow(fresh, situation(self.fast, fresh))

    def test_its_factor_can_be_set(self) -> None:
        slow = self.slow()

        assert NotSlow(factor=11)(slow, situation(self.fast, slow))


class TestWithinBound:
    def test_the_bound_follows_the_weights(self) -> None:
        heavy, light = endpoint(1, weight=3.0, in_use=5), endpoint(2, in_use=3)

        # 9 calls with the new one over a weight of 4: at most 1.25 x 2.25 x weight, rounded up.
        assert within_bound(heavy, situation(heavy, light))
        assert not within_bound(light, situation(heavy, light))

    def test_somebody_is_always_within_it(self) -> None:
        for calls in range(40):
            pool = [endpoint(n, in_use=calls + n % 3, weight=0.5 + n) for n in range(1, 6)]

            assert any(WithinBound(1.0)(e, situation(*pool)) for e in pool)
