"""What priority rules look at in an OpenAI request."""

from __future__ import annotations

from typing import Any

import pytest

from conversations.doors.openai.subject import subject_of
from conversations.priority.rules import MATCHED_CHARS


def said(*messages: Any, **fields: Any) -> str:
    return subject_of({"messages": list(messages), **fields}).head.decode()


def test_what_the_user_said_last_is_looked_at() -> None:
    assert said({"role": "user", "content": "a"}, {"role": "user", "content": "b"}) == "b"
    assert said({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}) == "a"
    assert said({"role": "system", "content": "a"}) == ""
    assert said({"role": "user", "content": None}) == ""
    assert said({"role": "user"}) == ""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"text": 5}, None, "b"]
    assert said({"role": "user", "content": parts}).split() == ["a", "b"]


@pytest.mark.parametrize("messages", [5, None, "x", [1, None]])
def test_messages_of_another_api_are_not_checked(messages: Any) -> None:
    assert subject_of({"input": "a", "messages": messages}).head == b""


def test_the_text_looked_at_is_bounded() -> None:
    found = subject_of({"prompt": "x" * 50_000, "metadata": {"a": "b"}})

    assert (len(found.head), found.chars, found.metadata) == (MATCHED_CHARS, 50_000, {"a": "b"})
    assert subject_of({"prompt": "x", "metadata": [1]}).metadata == {}
