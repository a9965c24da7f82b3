"""Learned concurrency limits: bounded whatever is measured, down when it crowds, up again after."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies.limits import Gradient2, Learned

RULE = Gradient2()
MOST = 16
looks = st.lists(
    st.tuples(
        st.one_of(st.floats(1e-6, 1e3), st.sampled_from([0.0, -1.0, float("inf"), float("nan")])),
        st.integers(0, 100),
    ),
    max_size=80,
)


def after(learned: Learned, token_seconds: float, *, looks: int, in_use: int = MOST) -> Learned:
    """The state after so many looks, a second apart, that all see the same."""
    for _ in range(looks):
        learned = RULE.step(
            learned,
            token_seconds=token_seconds,
            in_use=in_use,
            max_concurrent=MOST,
            now=learned.at + 1,
        )
    return learned


@given(seen=looks, most=st.integers(1, 64))
def test_it_stays_within_its_bounds(seen: list[tuple[float, int]], most: int) -> None:
    learned = Learned()
    for second, (seconds, in_use) in enumerate(seen):
        learned = RULE.step(
            learned, token_seconds=seconds, in_use=in_use, max_concurrent=most, now=float(second)
        )

        assert learned.limit == 0.0 or 1.0 <= learned.limit <= most
        assert 0 <= learned.slots <= most


def test_it_begins_with_what_the_operator_allows() -> None:
    assert after(Learned(), 0.02, looks=1).slots == MOST


def test_steady_times_keep_it_there() -> None:
    assert after(Learned(), 0.02, looks=300).slots == MOST


def test_within_the_tolerance_nothing_shrinks() -> None:
    assert after(after(Learned(), 0.02, looks=60), 0.029, looks=60).slots == MOST


def test_it_shrinks_when_tokens_take_much_longer_and_recovers_after() -> None:
    usual = after(Learned(), 0.02, looks=60)

    slow = after(usual, 0.2, looks=30)
    well = after(slow, 0.02, looks=120)

    assert slow.slots <= 3
    assert slow.limit > 1.0, "some work has to show when it is over"
    assert well.slots == MOST


def test_what_lasts_becomes_usual() -> None:
    usual = after(Learned(), 0.02, looks=60)

    assert after(usual, 0.04, looks=5).slots < MOST
    assert after(usual, 0.04, looks=1200).slots == MOST


def test_it_does_not_grow_while_it_is_not_felt() -> None:
    small = Learned(limit=4.0, usual_token_seconds=0.02, at=1.0)

    assert after(small, 0.02, looks=50, in_use=1).limit == 4.0
    assert after(small, 0.02, looks=50, in_use=4).limit > 8.0


def test_a_look_at_nothing_changes_nothing() -> None:
    learned = after(Learned(), 0.02, looks=9)

    assert after(learned, 0.0, looks=3) == learned


def test_a_lower_maximum_holds_at_once() -> None:
    learned = after(Learned(), 0.02, looks=9)

    lowered = RULE.step(learned, token_seconds=0.02, in_use=0, max_concurrent=4, now=10.0)

    assert lowered.slots == 4


def test_smoothing_sets_the_pace() -> None:
    usual = after(Learned(), 0.02, looks=60)

    def step(rule: Gradient2) -> float:
        return rule.step(
            usual, token_seconds=0.2, in_use=MOST, max_concurrent=MOST, now=usual.at + 1
        ).limit

    # gradient 0.5, headroom 1: 16 towards 9.
    assert step(RULE) == pytest.approx(16 - 0.2 * 7)
    assert step(replace(RULE, smoothing=0.5)) == pytest.approx(16 - 0.5 * 7)
