"""What goes upstream for a turn."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from conversations.prompting import HISTORY_CHARS, HISTORY_TURNS, Turn, body, recent


def messages(**given_: object) -> list[tuple[str, str]]:
    values = {"model": "m", "context": "", "history": [], "content": "now"} | given_
    found = orjson.loads(body(**values))  # type: ignore[arg-type]
    assert found["model"] == "m"
    return [(each["role"], each["content"]) for each in found["messages"]]


def test_a_first_message_stands_alone() -> None:
    assert messages() == [("user", "now")]


def test_the_context_comes_first() -> None:
    history = [Turn("q", "a")]

    assert messages(context="c", history=history) == [
        ("system", "c"),
        ("user", "q"),
        ("assistant", "a"),
        ("user", "now"),
    ]


def test_a_turn_without_answer_leaves_a_note() -> None:
    found = messages(history=[Turn("q", None, "timeout")])

    assert found[1] == ("assistant", "[This turn got no answer: timeout.]")


def test_an_empty_answer_is_an_answer() -> None:
    assert messages(history=[Turn("q", "")])[1] == ("assistant", "")


@given(st.lists(st.integers(0, HISTORY_CHARS // 3), max_size=HISTORY_TURNS + 20))
def test_the_latest_turns_that_fit_are_kept(sizes: list[int]) -> None:
    turns = [Turn("q" * size, "") for size in sizes]

    kept = recent(turns)

    assert kept == turns[len(turns) - len(kept) :]
    assert len(kept) <= HISTORY_TURNS
    assert sum(len(turn.question) for turn in kept) <= HISTORY_CHARS


@given(st.lists(st.booleans(), max_size=20))
def test_roles_alternate(answered: list[bool]) -> None:
    history = [Turn("q", "a" if each else None, "failed") for each in answered]

    roles = [role for role, _ in messages(history=history)]

    assert roles == ["user", "assistant"] * len(history) + ["user"]
