"""One behaviour of every balancing profile, and what filters, scorers and pickers promise."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies import filters, profiles, scorers
from balancing.policies.filters import (
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
from balancing.policies.pickers import Highest, SmoothWeightedTurns
from balancing.policies.profile import Filter, Profile, Scorer
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot, Wanted

NOW = 1_700_000_000.0


def named(module: Any) -> dict[str, Any]:
    """The functions and instances that a module defines itself, by name."""
    return {
        name: found
        for name, found in vars(module).items()
        if not name.startswith("_") and not inspect.isclass(found) and callable(found)
        if getattr(found, "__module__", "") == module.__name__
    }


PROFILES = [found for _, found in inspect.getmembers(profiles, lambda o: isinstance(o, Profile))]
FILTERS: dict[str, Filter] = named(filters)
SCORERS: dict[str, Scorer] = named(scorers)
EVERYWHERE = {"serves_model", "serves_kind"}


def endpoint(number: int = 1, **fields: Any) -> EndpointSnapshot:
    values: dict[str, Any] = {
        "id": number,
        "name": f"e{number}",
        "model_names": frozenset({"m"}),
        "weight": 1.0,
        "max_concurrent": 8,
        "free": 4,
    }
    return EndpointSnapshot(**{**values, **fields})


def situation(*pool: EndpointSnapshot, now: float = NOW, **fields: Any) -> Situation:
    return Situation(Wanted(**{"model": "m", **fields}), now, pool)


def fresh(profile: Profile) -> Profile:
    """The profile with a picker of its own: turns are state."""
    return replace(profile, picker=deepcopy(profile.picker))


def able(profile: Profile, pool: list[EndpointSnapshot], wanted: Wanted) -> list[EndpointSnapshot]:
    """Who may serve it, by the required filters."""
    bare = Situation(wanted, NOW, ())
    serving = [e for e in pool if serves_model(e, bare) and serves_kind(e, bare)]
    seen = Situation(wanted, NOW, serving)
    return [e for e in serving if all(f(e, seen) for f in profile.required)]


seconds = st.one_of(st.just(0.0), st.floats(0.001, 100))
snapshots = st.builds(
    endpoint,
    st.integers(1, 50),
    model_names=st.sets(st.sampled_from(["m", "n"])).map(frozenset),
    weight=st.floats(0.001, 1000),
    max_concurrent=st.integers(1, 64),
    in_use=st.integers(0, 70),
    free=st.integers(-1, 4),
    failing_until=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    limit=st.integers(0, 64),
    ejected_until=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    on_trial=st.booleans(),
    returned_at=st.sampled_from([0.0, NOW - 5, NOW - 500]),
    is_healthy=st.sampled_from([True, True, True, False]),
    first_token_seconds=seconds,
    peak_first_token_seconds=seconds,
    token_seconds=seconds,
    best_token_seconds=seconds,
    measured_at=st.sampled_from([0.0, NOW, NOW - 100]),
    running_cost=st.floats(0, 1e6),
    waiting=st.integers(0, 100),
    requests_left=st.sampled_from([None, None, 0, 9]),
    tokens_left=st.sampled_from([None, None, 0, 9, 10**6]),
    kinds=st.sampled_from([frozenset(), frozenset({"chat"}), frozenset({"embedding"})]),
)
pools = st.lists(snapshots, max_size=8, unique_by=lambda found: found.id)
wishes = st.builds(
    Wanted,
    st.just("m"),
    st.frozensets(st.integers(1, 50)),
    input_tokens=st.integers(0, 5000),
    output_tokens=st.integers(0, 5000),
    affinity=st.sampled_from(["", "one", "other"]),
    prefix=st.sampled_from([(), ("a",), ("a", "b")]),
    cached=st.dictionaries(st.integers(1, 50), st.integers(0, 9000)),
)


class TestEveryProfile:
    @pytest.fixture(params=PROFILES, ids=lambda found: str(found.name))
    def profile(self, request: pytest.FixtureRequest) -> Profile:
        return fresh(request.param)

    @pytest.fixture
    def rng(self) -> random.Random:
        return random.Random(1)

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_an_endpoint_that_fails_a_required_filter_is_never_chosen(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        profile = fresh(found)

        choice = profile.choose(pool, wanted, now=NOW, rng=random.Random(seed))

        allowed = able(profile, pool, wanted)
        assert (choice is None) == (not allowed), "it chooses whenever it can"
        assert choice is None or choice.endpoint in allowed

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_a_preferred_filter_is_kept_where_it_can_be(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        profile = fresh(found)
        seen = Situation(wanted, NOW, [e for e in pool if "m" in e.model_names])
        every = [
            e
            for e in able(profile, pool, wanted)
            if all(f(e, seen) for f in (untried, not_failing))
        ]

        choice = profile.choose(pool, wanted, now=NOW, rng=random.Random(seed))

        assert not every or (choice is not None and choice.endpoint in every)

    def test_names_and_scores_are_told(self, profile: Profile, rng: random.Random) -> None:
        choice = profile.choose([endpoint(1), endpoint(2)], Wanted("m"), now=NOW, rng=rng)

        assert choice is not None
        assert set(choice.scores) == {"e1", "e2"}

    def test_it_keeps_to_room_health_and_limits(self, profile: Profile) -> None:
        common = {has_room, is_healthy, not_ejected, below_limit, within_rate_limits}

        assert common <= set(profile.required)

    def test_a_failing_endpoint_is_better_than_none(
        self, profile: Profile, rng: random.Random
    ) -> None:
        failing = endpoint(1, failing_until=NOW + 5)

        alone = profile.choose([failing], Wanted("m"), now=NOW, rng=rng)
        beside = [
            profile.choose([failing, endpoint(2)], Wanted("m"), now=NOW, rng=rng) for _ in range(9)
        ]

        assert alone is not None
        assert {choice.endpoint.id for choice in beside if choice} == {2}

    def test_an_untried_one_that_fails_comes_before_a_tried_one(
        self, profile: Profile, rng: random.Random
    ) -> None:
        pool = [endpoint(1), endpoint(2, failing_until=NOW + 5)]

        choice = profile.choose(pool, Wanted("m", frozenset({1})), now=NOW, rng=rng)

        assert choice is not None
        assert choice.endpoint.id == 2

    def test_equal_endpoints_share_the_work(self, profile: Profile, rng: random.Random) -> None:
        pool = [endpoint(n) for n in (1, 2, 3)]

        chosen = [profile.choose(pool, Wanted("m"), now=NOW, rng=rng) for _ in range(600)]

        shares = Counter(choice.endpoint.id for choice in chosen if choice)
        assert min(shares.values()) > 150

    def test_it_is_known_by_its_own_name(self, profile: Profile) -> None:
        assert getattr(profiles, profile.name).name == profile.name

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_scores_are_in_0_to_1_times_the_weights(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        choice = fresh(found).choose(pool, wanted, now=NOW, rng=random.Random(seed))

        most = sum(weight for _, weight in found.scorers)
        assert choice is None or all(0 <= s <= most + 1e-4 for s in choice.scores.values())

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_the_same_seed_chooses_the_same(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        one, other = (
            fresh(found).choose(pool, wanted, now=NOW, rng=random.Random(seed)) for _ in range(2)
        )

        assert one == other

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @given(pool=pools)
    def test_its_room_is_what_its_filters_would_take(
        self, found: Profile, pool: list[EndpointSnapshot]
    ) -> None:
        room = found.room(pool, now=NOW)

        assert set(room) == {e.id for e in pool}
        for seen in pool:
            others = [e for e in pool if "m" in e.model_names]
            taken = [replace(seen, in_use=calls, free=1) for calls in range(seen.max_concurrent)]
            plain = Situation(Wanted("m"), NOW, others)
            passing = [e for e in taken if all(f(e, plain) for f in found.required)]
            if seen.model_names == {"m"}:
                assert room[seen.id] == len(passing)
            assert 0 <= room[seen.id] <= seen.max_concurrent


class TestFilters:
    @pytest.mark.parametrize(
        ("passes", "good", "bad"),
        [
            (serves_model, endpoint(), endpoint(model_names=frozenset({"n"}))),
            (serves_kind, endpoint(), endpoint(kinds=frozenset({"embedding"}))),
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
