"""One behaviour of every policy between levels, and what each promises of its own."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmqueue_project.config import configuration
from scheduling.levels import LEVELS
from scheduling.policies import levels as module
from scheduling.policies.levels import MOST, Floors, LevelPolicy, Strict, Weighted

SHARES = {"realtime": 8.0, "high": 4.0, "normal": 2.0, "low": 1.0}
FLOORS = {"high": 0.20, "normal": 0.15, "low": 0.10}
POLICIES = [
    made
    for _, made in inspect.getmembers(module, inspect.isclass)
    if made.__module__ == module.__name__ and made is not LevelPolicy
]
subsets = st.sets(st.sampled_from(LEVELS)).map(lambda found: [n for n in LEVELS if n in found])


def pick(policy: LevelPolicy, busy: Collection[str]) -> str:
    """One pick as BRPOP makes it: the first level of the order that has work."""
    picked = next(level for level in policy.order(LEVELS) if level in busy)
    policy.charge(picked)
    return picked


def picks(policy: LevelPolicy, busy: Iterable[Collection[str]]) -> Counter[str]:
    return Counter(pick(policy, now) for now in busy)


class TestEveryPolicy:
    @pytest.fixture(params=POLICIES, ids=lambda made: str(made.__name__))
    def policy(self, request: pytest.FixtureRequest) -> LevelPolicy:
        made: LevelPolicy = request.param(FLOORS)
        return made

    @pytest.mark.parametrize("made", POLICIES)
    @given(history=st.lists(st.sampled_from(LEVELS), max_size=60), asked=subsets)
    def test_an_order_holds_each_level_once(
        self, made: type[Strict | Floors | Weighted], history: list[str], asked: list[str]
    ) -> None:
        policy = made(FLOORS)
        for level in history:
            policy.order(LEVELS)
            policy.charge(level)

        assert sorted(policy.order(asked)) == sorted(asked)

    def test_at_first_the_highest_goes_first(self, policy: LevelPolicy) -> None:
        order = policy.order(LEVELS)

        assert order[0] in ("realtime", "high")
        assert order.index("realtime") < order.index("low")

    def test_asking_changes_nothing(self, policy: LevelPolicy) -> None:
        for _ in range(7):
            pick(policy, LEVELS)

        assert policy.order(LEVELS) == policy.order(LEVELS)

    def test_a_lone_level_is_served(self, policy: LevelPolicy) -> None:
        assert picks(policy, [["low"]] * 50) == {"low": 50}

    def test_the_order_given_is_not_changed(self, policy: LevelPolicy) -> None:
        given_ = list(LEVELS)

        policy.order(given_).reverse()

        assert given_ == list(LEVELS)

    def test_no_level_known_is_no_error(self, policy: LevelPolicy) -> None:
        policy.charge("unheard of")
        policy.refund("unheard of")

        assert policy.order([]) == []

    def test_a_configuration_without_shares_works(self, policy: LevelPolicy) -> None:
        bare: LevelPolicy = cast(Any, type(policy))({})

        assert picks(bare, [LEVELS] * 8)["realtime"] >= 2

    @pytest.mark.parametrize("made", POLICIES)
    @given(history=st.lists(st.sets(st.sampled_from(LEVELS), min_size=1), max_size=60))
    def test_a_burst_overtakes_no_better_level_that_has_work(
        self, made: type[Strict | Floors | Weighted], history: list[set[str]]
    ) -> None:
        policy: LevelPolicy = made(FLOORS)
        for busy in history:
            picked = pick(policy, busy)

            burst = policy.burst(picked, LEVELS)

            better = set(LEVELS[: LEVELS.index(picked)])
            assert 0 <= burst <= MOST
            assert not (burst and better & busy)


class TestStrict:
    def test_the_highest_with_work_always(self) -> None:
        policy = Strict({})

        seen = picks(policy, [LEVELS] * 50 + [["normal", "low"]] * 50)

        assert seen == {"realtime": 50, "normal": 50}


class TestFloors:
    def test_under_full_load_each_level_gets_its_floor_and_the_best_the_rest(self) -> None:
        policy = Floors(FLOORS)
        picks(policy, [LEVELS] * 100)
        seen = picks(policy, [LEVELS] * 2000)

        shares = {level: count / 2000 for level, count in seen.items()}
        assert shares == pytest.approx({**FLOORS, "realtime": 0.55}, abs=0.002)

    def test_the_best_level_is_let_finish_a_burst_before_the_floors_are_paid(self) -> None:
        policy = Floors({"low": 0.1})

        burst = [pick(policy, ["realtime", "high", "low"]) for _ in range(25)]
        after = [pick(policy, ["high", "low"]) for _ in range(8)]

        assert burst == ["realtime"] * 25
        assert after.count("low") == 3, "33 picks earned three"
        assert after[0] == "low"

    def test_without_a_deficit_it_is_strict(self) -> None:
        seen = [pick(Floors(FLOORS), ["realtime", "low"]) for _ in range(5)]

        assert seen == ["realtime"] * 5

    @settings(max_examples=60)
    @given(
        floors=st.fixed_dictionaries({n: st.floats(0.02, 0.3) for n in ("high", "normal", "low")}),
        busy=st.lists(subsets, min_size=8, max_size=40),
        patient=st.sampled_from(["high", "normal", "low"]),
    )
    def test_no_level_with_work_starves(
        self, floors: Mapping[str, float], busy: list[list[str]], patient: str
    ) -> None:
        rounds = [{*busy[n % len(busy)], patient} for n in range(1000)]

        seen = picks(Floors(floors), rounds)

        assert seen[patient] >= 0.95 * floors[patient] * 1000 - Floors.PATIENCE

    @settings(max_examples=60)
    @given(
        floors=st.fixed_dictionaries({n: st.floats(0.02, 0.3) for n in ("high", "normal", "low")}),
        busy=st.lists(subsets, min_size=8, max_size=40),
        patient=st.sampled_from(["high", "normal", "low"]),
        spare=st.integers(0, 16),
    )
    def test_nor_does_it_when_others_take_bursts(
        self, floors: Mapping[str, float], busy: list[list[str]], patient: str, spare: int
    ) -> None:
        policy, seen = Floors(floors), Counter[str]()
        while seen.total() < 1000:
            picked = pick(policy, {*busy[seen.total() % len(busy)], patient})
            seen[picked] += 1
            more = min(spare, policy.burst(picked, LEVELS))
            for _ in range(more):
                policy.charge(picked)
            seen[picked] += more

        assert seen[patient] >= 0.95 * floors[patient] * seen.total() - Floors.PATIENCE - 1

    @given(
        history=st.lists(
            st.tuples(st.sampled_from(["charge", "refund"]), st.sampled_from(LEVELS)), max_size=200
        )
    )
    def test_the_balance_is_clamped(self, history: list[tuple[str, str]]) -> None:
        policy = Floors(FLOORS)
        for act, level in history:
            getattr(policy, act)(level)

        assert all(abs(owed) <= Floors.CLAMP for owed in policy._owed.values())

    def test_an_idle_level_banks_no_more_than_the_clamp(self) -> None:
        policy = Floors(FLOORS)
        picks(policy, [["realtime"]] * 1000)

        seen = [pick(policy, ["realtime", "low"]) for _ in range(20)]

        assert seen.count("low") <= Floors.CLAMP + 2

    def test_a_level_owed_nothing_may_run_on_until_another_is_owed(self) -> None:
        policy = Floors({"low": 0.1})
        pick(policy, ["realtime"])

        assert 28 <= policy.burst("realtime", LEVELS) <= 29

    def test_one_that_is_not_the_best_runs_on_for_a_shorter_while(self) -> None:
        policy = Floors({"low": 0.1})
        pick(policy, ["high"])

        assert 8 <= policy.burst("high", LEVELS) <= 9

    def test_a_pick_that_only_a_floor_earned_is_no_start_of_a_burst(self) -> None:
        policy = Floors({"low": 0.1})
        seen = [pick(policy, ["realtime", "low"]) for _ in range(31)]

        assert seen[-1] == "low"
        assert policy.burst("low", LEVELS) == 0, "realtime was never looked at"

    def test_refunds_give_back_no_more_than_the_charges_took(self) -> None:
        policy = Floors(FLOORS)
        for _ in range(8):
            pick(policy, ["low"])

        for _ in range(8):
            policy.refund("low")

        assert policy.order(LEVELS)[0] == "realtime", "tickets without a job earn no credit"


class TestWeighted:
    def test_the_first_picks_are_in_exact_proportion(self) -> None:
        assert picks(Weighted(SHARES), [LEVELS] * 15) == {
            "realtime": 8,
            "high": 4,
            "normal": 2,
            "low": 1,
        }

    def test_they_are_spread_evenly(self) -> None:
        policy = Weighted({"realtime": 3, "low": 1})

        seen = []
        for _ in range(8):
            seen.append(policy.order(["realtime", "low"])[0])
            policy.charge(seen[-1])

        assert seen == ["realtime", "realtime", "low", "realtime"] * 2

    @settings(max_examples=60)
    @given(
        weights=st.fixed_dictionaries({level: st.integers(1, 20) for level in LEVELS}),
        rounds=st.integers(1, 10),
    )
    def test_shares_are_proportional(self, weights: dict[str, int], rounds: int) -> None:
        total = sum(weights.values())

        seen = picks(Weighted(weights), [LEVELS] * total * rounds)

        assert seen == {level: weight * rounds for level, weight in weights.items()}

    def test_an_unnamed_level_gets_the_least_share(self) -> None:
        seen = picks(Weighted({"realtime": 6, "high": 2}), [["realtime", "high", "low"]] * 500)

        assert 80 <= seen["low"] <= 120
        assert 280 <= seen["realtime"] <= 320

    @given(busy=st.lists(subsets, min_size=1, max_size=30))
    def test_no_level_with_work_starves(self, busy: list[list[str]]) -> None:
        assume(any(busy))

        seen = picks(Weighted(SHARES), [{*busy[n % len(busy)], "low"} for n in range(600)])

        assert seen["low"] >= 600 / 15 * 0.9

    @pytest.mark.parametrize("busy", [LEVELS, ("high", "low")])
    def test_only_a_level_alone_in_having_work_may_run_on(self, busy: tuple[str, ...]) -> None:
        policy = Weighted(SHARES)

        bursts = []
        for _ in range(30):
            picked = pick(policy, busy)
            behind = policy_behind(policy, picked)
            if set(behind) & set(busy):
                bursts.append(policy.burst(picked, LEVELS))

        assert set(bursts) <= {0}


def policy_behind(policy: Weighted, picked: str) -> list[str]:
    """The levels that stood behind the picked one: before it was charged."""
    policy.refund(picked)
    order = policy.order(LEVELS)
    policy.charge(picked)
    return order[order.index(picked) + 1 :]


def test_the_configured_floors_are_sound() -> None:
    floors = configuration().scheduling.floors

    assert set(floors) <= set(LEVELS)
    assert sum(floors.values()) < 1, "the best level needs a share too"
