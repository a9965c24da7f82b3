"""What goes upstream for a turn."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.dialogue import prompting
from conversations.dialogue.prompting import HISTORY_TURNS, Prompt, Turn, prompt, prompt_tokens
from conversations.dialogue.truncation import DoesNotFit
from llmqueue_project.config import configuration
from llmqueue_project.config_sections import ConversationsConfig


def made(**given_: object) -> Prompt:
    values = {"model": "m", "context": "", "history": [], "content": "now"} | given_
    return prompt(**values)  # type: ignore[arg-type]


def messages(**given_: object) -> list[tuple[str, str]]:
    found = orjson.loads(made(**given_).body)
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


@given(st.lists(st.booleans(), max_size=20))
def test_roles_alternate(answered: list[bool]) -> None:
    history = [Turn("q", "a" if each else None, "failed") for each in answered]

    roles = [role for role, _ in messages(history=history)]

    assert roles == ["user", "assistant"] * len(history) + ["user"]


def set_context(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    config = configuration().model_copy(update={"conversations": ConversationsConfig(**fields)})
    monkeypatch.setattr(prompting, "configuration", lambda: config)


def test_what_does_not_fit_is_dropped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    set_context(monkeypatch, context_tokens=512, answer_tokens=256)
    history = [Turn(str(n) * 200, "a" * 200) for n in range(5)]  # 108 tokens each

    found = made(context="c" * 40, history=history)

    assert [text[0] for role, text in messages(context="c" * 40, history=history)] == [
        *("c", "3", "a", "4", "a", "n"),
    ]
    assert found.history == {
        "turns": 2,
        "dropped": 3,
        "policy": "drop_oldest",
        "estimated_tokens": 14 + 5 + 2 * 108,
    }


def test_a_models_own_context_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    set_context(monkeypatch, context_tokens=4096, model_context_tokens={"small": 1000})

    assert prompt_tokens("large") == 3072
    assert prompt_tokens("small") == 500, "an answer takes at most half"


def test_refusing_refuses_what_was_not_accepted_before(monkeypatch: pytest.MonkeyPatch) -> None:
    set_context(monkeypatch, context_tokens=256, answer_tokens=0, truncation="refuse")
    history = [Turn("q" * 2000, "a")]

    with pytest.raises(DoesNotFit):
        made(history=history)
    assert made(history=history, promised=True).history["dropped"] == 1
    assert made(history=[Turn("q", "a")]).history["dropped"] == 0


def test_no_more_turns_than_the_database_is_asked_for() -> None:
    found = made(history=[Turn("q", "a")] * (HISTORY_TURNS + 5))

    assert (found.history["turns"], found.history["dropped"]) == (HISTORY_TURNS, 5)
