"""One behaviour of every balancing profile, and what filters, scorers and pickers promise."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies import filters, profiles, scorers
from balancing.policies.filters import has_room, not_failing, serves_model, untried
from balancing.policies.pickers import Highest, SmoothWeightedTurns
from balancing.policies.profile import Filter, Profile, Scorer
from balancing.policies.snapshot import EndpointSnapshot, Wanted

NOW = 1000.0
PROFILES = [found for _, found in inspect.getmembers(profiles, lambda o: isinstance(o, Profile))]
FILTERS: list[Filter] = [
    found
    for _, found in inspect.getmembers(filters, inspect.isfunction)
    if found.__module__ == filters.__name__
]
SCORERS: list[Scorer] = [
    found
    for _, found in inspect.getmembers(scorers, inspect.isfunction)
    if found.__module__ == scorers.__name__
]


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


def fresh(profile: Profile) -> Profile:
    """The profile with a picker of its own: turns are state."""
    return Profile(
        profile.name,
        profile.required,
        profile.preferred,
        profile.scorers,
        type(profile.picker)(),
    )


snapshots = st.builds(
    endpoint,
    st.integers(1, 50),
    model_names=st.sets(st.sampled_from(["m", "n"])).map(frozenset),
    weight=st.floats(0.001, 1000),
    in_use=st.integers(0, 10_000),
    free=st.integers(-1, 4),
    failing_until=st.sampled_from([0.0, NOW - 1, NOW + 1]),
)
pools = st.lists(snapshots, max_size=8, unique_by=lambda found: found.id)
wishes = st.builds(Wanted, st.just("m"), st.frozensets(st.integers(1, 50)))


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

        able = [e for e in pool if all(f(e, wanted, NOW) for f in profile.required)]
        assert (choice is None) == (not able), "it chooses whenever it can"
        assert choice is None or choice.endpoint in able

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_a_preferred_filter_is_kept_where_it_can_be(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        profile = fresh(found)
        every = [
            e
            for e in pool
            if all(f(e, wanted, NOW) for f in (*profile.required, *profile.preferred))
        ]

        choice = profile.choose(pool, wanted, now=NOW, rng=random.Random(seed))

        assert not every or (choice is not None and choice.endpoint in every)

    def test_names_and_scores_are_told(self, profile: Profile, rng: random.Random) -> None:
        choice = profile.choose([endpoint(1), endpoint(2)], Wanted("m"), now=NOW, rng=rng)

        assert choice is not None
        assert set(choice.scores) == {"e1", "e2"}

    def test_it_requires_the_model_and_room(self, profile: Profile) -> None:
        assert {serves_model, has_room} <= set(profile.required)

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


class TestFilters:
    @pytest.mark.parametrize(
        ("passes", "good", "bad"),
        [
            (serves_model, endpoint(), endpoint(model_names=frozenset({"n"}))),
            (has_room, endpoint(free=1), endpoint(free=0)),
            (untried, endpoint(2), endpoint(1)),
            (not_failing, endpoint(failing_until=NOW), endpoint(failing_until=NOW + 0.1)),
        ],
    )
    def test_each_asks_one_question(
        self, passes: Filter, good: EndpointSnapshot, bad: EndpointSnapshot
    ) -> None:
        wanted = Wanted("m", frozenset({1}))

        assert passes(good, wanted, NOW)
        assert not passes(bad, wanted, NOW)

    def test_all_of_them_are_used(self) -> None:
        used = {f for profile in PROFILES for f in (*profile.required, *profile.preferred)}

        assert used == set(FILTERS)


class TestScorers:
    @pytest.mark.parametrize("scorer", SCORERS)
    @given(seen=snapshots, wanted=wishes)
    def test_a_score_is_between_0_and_1(
        self, scorer: Scorer, seen: EndpointSnapshot, wanted: Wanted
    ) -> None:
        assert 0.0 <= scorer(seen, wanted, NOW) <= 1.0

    def test_least_connections_counts_by_weight(self) -> None:
        def score(**fields: Any) -> float:
            return scorers.least_connections(endpoint(**fields), Wanted("m"), NOW)

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
