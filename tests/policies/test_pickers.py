"""How each picker chooses among scored endpoints."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies.pickers import BetterOfTwo, ByWeight, Highest, SmoothWeightedTurns
from tests.policies.endpoints import endpoint


class TestHighest:
    @given(scores=st.lists(st.floats(0, 1), min_size=1, max_size=9), seed=st.integers())
    def test_the_best_score_wins(self, scores: list[float], seed: int) -> None:
        scored = [(endpoint(n), score) for n, score in enumerate(scores)]

        picked = Highest().pick(scored, random.Random(seed))

        assert scores[picked.id] == pytest.approx(max(scores), abs=1e-12)

    def test_ties_are_broken_by_chance(self) -> None:
        rng = random.Random(3)
        scored = [(endpoint(1), 0.5), (endpoint(2), 0.5), (endpoint(3), 0.4)]

        picked = Counter(Highest().pick(scored, rng).id for _ in range(400))

        assert set(picked) == {1, 2}
        assert min(picked.values()) > 140


class TestSmoothWeightedTurns:
    @given(weights=st.lists(st.integers(1, 12), min_size=1, max_size=6), rounds=st.integers(1, 5))
    def test_turns_are_in_proportion_to_the_weights(self, weights: list[int], rounds: int) -> None:
        turns = SmoothWeightedTurns()
        scored = [(endpoint(n, weight=float(w)), 0.0) for n, w in enumerate(weights)]

        picked = Counter(
            turns.pick(scored, random.Random()).id for _ in range(sum(weights) * rounds)
        )

        assert picked == {n: w * rounds for n, w in enumerate(weights)}

    def test_they_are_spread_evenly(self) -> None:
        turns = SmoothWeightedTurns()
        scored = [(endpoint(1, weight=5.0), 0.0), (endpoint(2), 0.0), (endpoint(3), 0.0)]

        picked = [turns.pick(scored, random.Random()).id for _ in range(7)]

        assert picked == [1, 1, 2, 1, 3, 1, 1], "nginx's own example"

    def test_an_endpoint_that_was_away_does_not_catch_up_for_ever(self) -> None:
        turns = SmoothWeightedTurns()
        both = [(endpoint(1), 0.0), (endpoint(2), 0.0)]
        for _ in range(100):
            turns.pick(both[:1], random.Random())

        picked = Counter(turns.pick(both, random.Random()).id for _ in range(10))

        assert picked == {1: 5, 2: 5}

    def test_without_weights_everybody_is_as_often_first(self) -> None:
        turns = SmoothWeightedTurns(weighted=False)
        scored = [(endpoint(n, weight=float(n)), 0.0) for n in (1, 2, 3)]

        picked = [turns.pick(scored, random.Random()).id for _ in range(6)]

        assert picked == [1, 2, 3, 1, 2, 3]


class TestBetterOfTwo:
    def test_the_worst_of_three_is_never_picked(self) -> None:
        scored = [(endpoint(n), score) for n, score in ((1, 0.9), (2, 0.5), (3, 0.1))]
        rng = random.Random(4)

        picked = Counter(BetterOfTwo().pick(scored, rng).id for _ in range(900))

        assert picked[1] / 900 == pytest.approx(2 / 3, abs=0.05)
        assert picked[2] / 900 == pytest.approx(1 / 3, abs=0.05)
        assert 3 not in picked

    def test_a_lone_one_is_picked(self) -> None:
        assert BetterOfTwo().pick([(endpoint(1), 0.0)], random.Random()).id == 1


class TestByWeight:
    def test_shares_are_the_weights(self) -> None:
        scored = [(endpoint(1, weight=3.0), 0.0), (endpoint(2), 1.0)]
        rng = random.Random(5)

        picked = Counter(ByWeight().pick(scored, rng).id for _ in range(2000))

        assert picked[1] / 2000 == pytest.approx(0.75, abs=0.03)
