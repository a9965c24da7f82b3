"""What each balancing scorer prefers; all of them within [0, 1]."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies import scorers
from balancing.policies.profile import Scorer
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot, Wanted
from tests.policies.endpoints import NOW, endpoint, named, situation, snapshots, wishes

SCORERS: dict[str, Scorer] = named(scorers)


def ranked(scorer: Scorer, *pool: EndpointSnapshot, **wanted: Any) -> list[int]:
    """Ids from the best to the worst."""
    seen = situation(*pool, **wanted)
    return [e.id for e in sorted(pool, key=lambda e: -scorer(e, seen))]


class TestScorers:
    @pytest.mark.parametrize("scorer", SCORERS.values(), ids=SCORERS)
    @given(pool=st.lists(snapshots, min_size=1, max_size=8), wanted=wishes)
    def test_a_score_is_between_0_and_1(
        self, scorer: Scorer, pool: list[EndpointSnapshot], wanted: Wanted
    ) -> None:
        assert 0.0 <= scorer(pool[0], Situation(wanted, NOW, pool)) <= 1.0

    def test_least_connections_counts_by_weight(self) -> None:
        def score(**fields: Any) -> float:
            return scorers.least_connections(endpoint(**fields), situation())

        assert score(in_use=0) == 1.0
        assert score(in_use=1) > score(in_use=2)
        assert score(in_use=4, weight=2.0) == score(in_use=2)
        assert score(in_use=1, weight=0.0) < 1e-6, "a weight of nothing divides by nothing"

    def test_headroom_counts_the_learned_limit(self) -> None:
        assert ranked(scorers.headroom, endpoint(1, in_use=2, limit=2), endpoint(2, in_use=4)) == [
            2,
            1,
        ]

    def test_speed_is_that_of_the_fastest(self) -> None:
        fast, slow = endpoint(1, token_seconds=0.01), endpoint(2, token_seconds=0.04)
        seen = situation(fast, slow)

        assert scorers.speed(fast, seen) == 1.0
        assert scorers.speed(slow, seen) == pytest.approx(0.25)

    def test_a_peak_of_latency_counts_with_the_calls(self) -> None:
        calm = endpoint(1, peak_first_token_seconds=0.2, in_use=3)
        peak = endpoint(2, peak_first_token_seconds=2.0, in_use=3)
        full = endpoint(3, peak_first_token_seconds=0.2, in_use=7)

        assert ranked(scorers.peak_latency, peak, full, calm) == [1, 3, 2]

    def test_a_hot_endpoint_comes_after_any_cold_one(self) -> None:
        pool = [endpoint(n, in_use=n, token_seconds=0.1 / n) for n in range(1, 8)]

        order = ranked(scorers.hot_and_cold, *pool)

        assert order[-1] == 7, "the fastest is hot: most calls run there"
        assert order[0] == 6, "of the cold ones, the fastest"


class TestExpectedWork:
    def test_a_faster_one_may_be_more_crowded(self) -> None:
        fast = endpoint(1, token_seconds=0.02, in_use=6)
        slow = endpoint(2, token_seconds=0.04, in_use=0)

        assert ranked(scorers.expected_work, fast, slow) == [1, 2]

    def test_a_burst_counts_before_it_is_measured(self) -> None:
        alike = {"token_seconds": 0.02, "best_token_seconds": 0.02}

        assert ranked(
            scorers.expected_work, endpoint(1, in_use=7, **alike), endpoint(2, in_use=1, **alike)
        ) == [2, 1]

    def test_a_prompt_that_is_cached_there_is_shorter(self) -> None:
        alike = {"token_seconds": 0.02, "in_use": 2}

        order = ranked(
            scorers.expected_work,
            endpoint(1, **alike),
            endpoint(2, **alike),
            input_tokens=8000,
            output_tokens=100,
            cached={2: 7680},
        )

        assert order == [2, 1]

    def test_its_own_queue_makes_it_later(self) -> None:
        alike = {"token_seconds": 0.02, "in_use": 4}

        assert ranked(
            scorers.expected_work, endpoint(1, waiting=8, **alike), endpoint(2, **alike)
        ) == [2, 1]

    def test_one_that_was_slow_gets_another_chance_when_idle_for_long(self) -> None:
        other = endpoint(1, token_seconds=0.04, measured_at=NOW)
        slow = {"token_seconds": 0.5, "best_token_seconds": 0.02}
        lately, once = (endpoint(2, measured_at=NOW - seconds, **slow) for seconds in (20.0, 31.0))

        assert ranked(scorers.expected_work, other, lately) == [1, 2]
        assert ranked(scorers.expected_work, other, once) == [2, 1]

    def test_slow_for_hours_it_counts_as_typical(self) -> None:
        others = [
            endpoint(n, token_seconds=seconds, in_use=4, measured_at=NOW)
            for n, seconds in ((1, 0.03), (2, 0.04), (3, 0.08))
        ]
        slow = {"token_seconds": 0.5, "best_token_seconds": 0.4}
        lately, once = (endpoint(4, measured_at=NOW - age, **slow) for age in (299.0, 301.0))

        assert ranked(scorers.expected_work, *others, lately)[-1] == 4
        assert ranked(scorers.expected_work, *others, once)[-1] == 3

    def test_a_new_one_counts_as_typical(self) -> None:
        pool = [endpoint(1, token_seconds=0.02), endpoint(2), endpoint(3, token_seconds=0.2)]

        assert ranked(scorers.expected_work, *pool) == [1, 2, 3]

    @given(factor=st.floats(0.01, 100), tokens=st.integers(1, 10_000))
    def test_the_score_is_the_same_in_fast_pools_and_slow_ones(
        self, factor: float, tokens: int
    ) -> None:
        def score(seconds: float, output: int) -> float:
            one, other = endpoint(1, token_seconds=seconds), endpoint(2, token_seconds=3 * seconds)
            return scorers.expected_work(one, situation(one, other, output_tokens=output))

        assert score(factor * 0.02, tokens) == pytest.approx(score(0.02, 100))


class TestHome:
    pool = tuple(endpoint(n) for n in range(1, 7))
    keys = tuple(f"conversation-{n}" for n in range(3000))

    def homes(self, pool: tuple[EndpointSnapshot, ...]) -> dict[str, int]:
        return {key: ranked(scorers.home, *pool, affinity=key)[0] for key in self.keys}

    def test_keys_are_spread_evenly(self) -> None:
        shares = Counter(self.homes(self.pool).values())

        assert set(shares) == {1, 2, 3, 4, 5, 6}
        assert all(400 < share < 600 for share in shares.values())

    def test_in_proportion_to_the_weights(self) -> None:
        shares = Counter(self.homes((endpoint(1, weight=2.0), endpoint(2))).values())

        assert shares[1] / shares[2] == pytest.approx(2.0, rel=0.15)

    def test_who_leaves_takes_only_its_own_keys_along(self) -> None:
        before, after = self.homes(self.pool), self.homes(self.pool[:-1])

        moved = [key for key in self.keys if before[key] != after[key]]
        assert {before[key] for key in moved} == {6}
        assert len(moved) / len(self.keys) == pytest.approx(1 / 6, rel=0.2)

    def test_who_joins_takes_only_what_becomes_its_own(self) -> None:
        before, after = self.homes(self.pool), self.homes((*self.pool, endpoint(7)))

        moved = [key for key in self.keys if before[key] != after[key]]
        assert {after[key] for key in moved} == {7}
        assert len(moved) / len(self.keys) == pytest.approx(1 / 7, rel=0.2)

    def test_without_a_conversation_the_first_block_is_the_key(self) -> None:
        one, other = (situation(*self.pool, prefix=("a", tail)) for tail in ("b", "c"))

        assert [scorers.home(e, one) for e in self.pool] == [
            scorers.home(e, other) for e in self.pool
        ]

    def test_a_system_prompt_that_is_known_to_be_cached_has_no_home(self) -> None:
        seen = situation(*self.pool, prefix=("a",), cached={1: 512})

        assert {scorers.home(e, seen) for e in self.pool} == {0.0}
