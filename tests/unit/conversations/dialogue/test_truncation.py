"""Truncation of conversations: what every policy keeps to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.dialogue.truncation import POLICIES, DoesNotFit, Turn, keep_first_and_last

turns = st.lists(
    st.builds(
        Turn, question=st.text(max_size=60), answer=st.one_of(st.none(), st.text(max_size=60))
    ),
    max_size=20,
)
every = pytest.mark.parametrize("name", POLICIES)


@every
@given(history=turns, room=st.integers(0, 600))
def test_what_is_kept_fits_and_stands_in_order(name: str, history: list[Turn], room: int) -> None:
    try:
        kept = POLICIES[name](history, room)
    except DoesNotFit:
        assert name == "refuse"
        return

    assert sum(turn.tokens for turn in kept) <= room
    places = iter(history)
    assert all(any(turn is other for other in places) for turn in kept)


@every
@given(history=turns)
def test_what_fits_is_kept_whole(name: str, history: list[Turn]) -> None:
    assert POLICIES[name](history, sum(turn.tokens for turn in history)) == history


@every
@given(history=turns.filter(bool), room=st.integers(0, 600))
def test_the_latest_turn_goes_last(name: str, history: list[Turn], room: int) -> None:
    try:
        kept = POLICIES[name](history, room)
    except DoesNotFit:
        return

    if kept and name == "drop_oldest":
        assert kept[-1] is history[-1]


def test_the_first_turn_is_kept_with_the_latest() -> None:
    history = [Turn(f"question {n}", "answer") for n in range(6)]
    room = 3 * history[0].tokens

    assert keep_first_and_last(history, room) == [history[0], *history[4:]]
