"""One behaviour of every balancing profile."""

from __future__ import annotations

import random
from collections import Counter
from copy import deepcopy
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.policies import profiles
from balancing.policies.filters import (
    below_limit,
    has_room,
    is_healthy,
    not_ejected,
    not_failing,
    serves_kind,
    serves_model,
    untried,
    within_rate_limits,
)
from balancing.policies.pickers import SmoothWeightedTurns
from balancing.policies.profile import Profile
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot, Wanted
from tests.policies.endpoints import NOW, endpoint, pools, wishes

# Of each property, for each profile: the profiles share most of their parts.
few = settings(max_examples=30)
PROFILES = [found for found in vars(profiles).values() if isinstance(found, Profile)]


def fresh(profile: Profile) -> Profile:
    """The profile with a picker of its own that has had no turns: they are state."""
    picker = deepcopy(profile.picker)
    if isinstance(picker, SmoothWeightedTurns):
        picker._current.clear()
    return replace(profile, picker=picker)


def able(profile: Profile, pool: list[EndpointSnapshot], wanted: Wanted) -> list[EndpointSnapshot]:
    """Who may serve it, by the required filters."""
    bare = Situation(wanted, NOW, ())
    serving = [e for e in pool if serves_model(e, bare) and serves_kind(e, bare)]
    seen = Situation(wanted, NOW, serving)
    return [e for e in serving if all(f(e, seen) for f in profile.required)]


class TestEveryProfile:
    @pytest.fixture(params=PROFILES, ids=lambda found: str(found.name))
    def profile(self, request: pytest.FixtureRequest) -> Profile:
        return fresh(request.param)

    @pytest.fixture
    def rng(self) -> random.Random:
        return random.Random(1)

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @few
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
    @few
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
    @few
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_scores_are_in_0_to_1_times_the_weights(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        choice = fresh(found).choose(pool, wanted, now=NOW, rng=random.Random(seed))

        most = sum(weight for _, weight in found.scorers)
        assert choice is None or all(0 <= s <= most + 1e-4 for s in choice.scores.values())

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @few
    @given(pool=pools, wanted=wishes, seed=st.integers())
    def test_the_same_seed_chooses_the_same(
        self, found: Profile, pool: list[EndpointSnapshot], wanted: Wanted, seed: int
    ) -> None:
        one, other = (
            fresh(found).choose(pool, wanted, now=NOW, rng=random.Random(seed)) for _ in range(2)
        )

        assert one == other

    @pytest.mark.parametrize("found", PROFILES, ids=lambda found: str(found.name))
    @few
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


def placed(name: str, pool: list[EndpointSnapshot], jobs: list[Wanted]) -> Counter[int]:
    """Where a profile puts jobs that all keep running."""
    profile, rng, calls = fresh(getattr(profiles, name)), random.Random(2), Counter[int]()
    for wanted in jobs:
        seen = [replace(e, in_use=calls[e.id], free=e.max_concurrent - calls[e.id]) for e in pool]
        choice = profile.choose(seen, wanted, now=NOW, rng=rng)
        assert choice is not None
        calls[choice.endpoint.id] += 1
    return calls


class TestShares:
    weighted = [endpoint(n, weight=weight) for n, weight in ((1, 4.0), (2, 2.0), (3, 1.0))]

    def shares(self, name: str) -> list[float]:
        """Of jobs that end at once."""
        profile, rng = fresh(getattr(profiles, name)), random.Random(3)
        choices = [
            profile.choose(self.weighted, Wanted("m"), now=NOW, rng=rng) for _ in range(2100)
        ]
        seen = Counter(choice.endpoint.id for choice in choices if choice)
        return [seen[n] / 2100 for n in (1, 2, 3)]

    def test_turns_ignore_the_weights(self) -> None:
        assert self.shares("round_robin") == pytest.approx([1 / 3, 1 / 3, 1 / 3])

    def test_weighted_turns_follow_them_exactly(self) -> None:
        assert self.shares("weighted_round_robin") == pytest.approx([4 / 7, 2 / 7, 1 / 7])

    def test_chance_follows_them_roughly(self) -> None:
        assert self.shares("weighted_random") == pytest.approx([4 / 7, 2 / 7, 1 / 7], abs=0.04)

    def test_connections_are_in_proportion_to_them(self) -> None:
        pool = [replace(e, max_concurrent=100) for e in self.weighted]

        calls = placed("least_connections", pool, [Wanted("m")] * 140)

        assert calls == {1: 80, 2: 40, 3: 20}


class TestAffinity:
    pool = [endpoint(n, max_concurrent=100) for n in range(1, 6)]

    @pytest.mark.parametrize("name", ["session_affinity", "affinity"])
    def test_even_a_single_conversation_stays_within_the_bound(self, name: str) -> None:
        for jobs in range(1, 120, 7):
            calls = placed(name, self.pool, [Wanted("m", affinity="popular")] * jobs)

            assert max(calls.values()) <= -(-1.25 * jobs // len(self.pool))

    @pytest.mark.parametrize("name", ["session_affinity", "affinity", "expected_work"])
    def test_a_conversation_comes_back(self, name: str) -> None:
        profile = getattr(profiles, name)

        for key in map(str, range(20)):
            wanted = Wanted("m", affinity=key, output_tokens=100)
            homes = {
                choice.endpoint.id
                for seed in range(10)
                if (choice := profile.choose(self.pool, wanted, now=NOW, rng=random.Random(seed)))
            }
            assert len(homes) == 1

    def test_without_a_conversation_work_is_spread(self) -> None:
        calls = placed("session_affinity", self.pool, [Wanted("m")] * 50)

        assert set(calls.values()) == {10}

    @pytest.mark.parametrize("name", ["expected_work", "affinity"])
    def test_a_known_prefix_draws_its_job(self, name: str) -> None:
        pool = [replace(e, token_seconds=0.02) for e in self.pool]
        wanted = Wanted("m", input_tokens=9000, output_tokens=100, cached={4: 8704})

        choice = getattr(profiles, name).choose(pool, wanted, now=NOW, rng=random.Random(1))

        assert choice is not None
        assert choice.endpoint.id == 4
