"""Learned concurrency limits: a limit never costs, whatever is measured.

`benchmarks/balancing/crowding.py` has the endpoints: virtual time, the product's own rule.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.policies.goodput import Look
from balancing.policies.limits import Goodput
from balancing.policies.trials import Learned, Stage
from benchmarks.balancing import crowding
from benchmarks.balancing.crowding import Fixed, Load, Tried, World
from tests.field import examples

RULE = Goodput()
MOST = 200

looks = st.lists(
    st.builds(
        Look,
        now=st.floats(0.0, 3.0),
        in_use=st.integers(0, 400),
        ended=st.integers(0, 1000),
        tokens=st.integers(0, 10**9),
        seconds=st.floats(0.0, 1e6),
        calls=st.integers(0, 1000),
    ),
    max_size=200,
)


@settings(max_examples=examples(50, 5000))
@given(seen=looks, most=st.lists(st.integers(1, 300), min_size=1))
def test_it_stays_within_its_bounds(seen: list[Look], most: list[int]) -> None:
    learned, now = Learned.begun(most[0], now=0.0), 0.0
    for number, look in enumerate(seen):
        now += look.now
        allowed = most[number * len(most) // len(seen)]

        learned = RULE.step(learned, replace(look, now=now), most=allowed)

        assert min(RULE.least, allowed) <= learned.limit <= allowed
        assert min(RULE.least, allowed) <= learned.kept <= allowed


class TestInVirtualTime:
    """Tokens of each minute, beside a fixed limit with the same arrivals and the same delays."""

    def beside(
        self,
        curve: crowding.Curve,
        load: Load,
        *,
        minutes: int = 2,
        stalls: float = 0.0,
        best: int = MOST,
    ) -> list[float]:
        def run(rule: crowding.Rule) -> list[int]:
            world = World(rule, lambda _: curve, load, 60.0 * minutes, stalls=stalls)
            return world.run().minutes()

        pairs = zip(run(Tried(MOST)), run(Fixed(best)), strict=True)
        return [tried / fixed for tried, fixed in pairs]

    @pytest.mark.parametrize("stalls", [0.0, 0.3], ids=["calm", "delayed"])
    @pytest.mark.parametrize("curve", [crowding.flat, crowding.batching])
    def test_no_minute_costs_on_a_server_that_gains_to_the_end(
        self, curve: crowding.Curve, stalls: float
    ) -> None:
        assert min(self.beside(curve, Load(lambda _: 800.0), stalls=stalls)) >= 0.97

    def test_nor_after_idling(self) -> None:
        on_and_off = Load(lambda now: 800.0 if now % 90 < 60 else 0.0)

        assert min(self.beside(crowding.flat, on_and_off, minutes=3)) >= 0.97

    def test_a_load_below_the_limit_never_lowers_it(self) -> None:
        """The report: 200 slots, a load of 35, two busy cores."""
        rule = Tried(MOST)

        world = World(rule, lambda _: crowding.flat, Load(lambda _: 80.0), 120.0, stalls=0.3).run()

        assert set(world.limits) == {MOST}
        assert world.refused == 0
        assert max(world.waits) < 1.0

    def test_a_knee_is_found_within_a_minute(self) -> None:
        found = self.beside(crowding.kneed, Load(lambda _: 400.0), best=crowding.KNEE)

        assert found[1] >= 0.9

    def test_what_is_faster_for_another_reason_lowers_nothing(self) -> None:
        """The server doubles its pace in the middle of the first trial."""

        def curve(now: float) -> crowding.Curve:
            return lambda streams: crowding.flat(streams) * (0.5 if now < 7.0 else 1.0)

        world = World(Tried(MOST), curve, Load(lambda _: 800.0), 30.0).run()

        assert min(world.limits[:9]) < MOST, "the trial was under way"
        assert set(world.limits[10:]) == {MOST}

    def test_a_knee_that_goes_away_is_forgotten_within_half_a_minute(self) -> None:
        gone_at = 90.0
        rule = Tried(MOST)

        World(
            rule,
            lambda now: crowding.kneed if now < gone_at else crowding.flat,
            Load(lambda _: 800.0),
            gone_at + 35.0,
        ).run()

        assert rule.learned.kept == MOST


def test_it_begins_with_what_the_operator_allows() -> None:
    assert Learned.begun(16, now=0.0).limit == 16


def test_a_successor_begins_with_what_was_learned() -> None:
    assert Learned.begun(16, limit=9, now=0.0).kept == 9
    assert Learned.begun(8, limit=9, now=0.0).kept == 8


def test_a_lower_maximum_holds_at_once_and_a_higher_one_too() -> None:
    learned = Learned.begun(16, now=0.0)

    lower = RULE.step(learned, Look(1.0, 0), most=4)
    higher = RULE.step(lower, Look(2.0, 0), most=32)

    assert (lower.limit, higher.limit) == (4, 32)


def test_a_limit_that_held_nothing_back_is_forgotten() -> None:
    learned = Learned.begun(16, limit=6, now=0.0)

    for second in range(1, 700):
        learned = RULE.step(learned, Look(float(second), 2, 1, 100, 1.0, 1), most=16)

    assert learned.limit == 16


def test_a_process_that_was_held_up_ends_its_trial() -> None:
    trial = Learned.begun(16, now=0.0).at(11, Stage.LOWER)

    after = RULE.step(trial, Look(5.0, 16), most=16)

    assert (after.limit, after.stage) == (16, Stage.KEPT)


def test_long_calls_wait_for_a_reason() -> None:
    """A trial of theirs would cost more than it may."""

    def under_load(pace: float) -> set[int]:
        learned = replace(Learned.begun(100, now=0.0), pace=pace)
        limits = set()
        for second in range(1, 200):
            # 100 slots, calls of 20 s and 1,000 tokens.
            look = Look(float(second), 100, 5, 5000, 100.0, 5)
            learned = RULE.step(learned, look, most=100)
            limits.add(learned.limit)
        return limits

    assert under_load(pace=0.02) == {100}
    assert under_load(pace=0.005) == {100, 70}
