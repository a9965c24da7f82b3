"""Fields that are read otherwise than they were sent, and what goes to the endpoint of them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from conversations.doors.openai.mending import mended
from conversations.doors.openai.request import parse
from scheduling.models import Api

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "f"}}


def sent_on(**fields: Any) -> dict[str, Any]:
    """What the endpoint gets beside the model and the messages."""
    found = orjson.loads(parse(orjson.dumps({**CHAT, **fields}), Api.CHAT).upstream)
    return {name: value for name, value in found.items() if (name, value) not in CHAT.items()}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        pytest.param({"max_tokens": -1}, {"max_tokens": -1}, id="A16 no limit"),
        pytest.param({"max_tokens": 0}, {"max_tokens": 0}, id="A16 scoring"),
        pytest.param({"max_tokens": 256.0}, {"max_tokens": 256}, id="A16 whole number"),
        pytest.param({"max_tokens": "256"}, {"max_tokens": 256}, id="A16 text"),
        pytest.param({"max_tokens": None, "max_completion_tokens": ""}, {}, id="A16 null"),
        pytest.param({"n": 1.0, "seed": "7"}, {"n": 1, "seed": 7}),
        pytest.param({"n": "x", "seed": 1.5}, {"n": "x", "seed": 1.5}, id="left to the endpoint"),
        pytest.param({"temperature": "0.7", "top_p": 1.0}, {"temperature": 0.7, "top_p": 1.0}),
        pytest.param({"temperature": None, "presence_penalty": ""}, {}),
        pytest.param({"stop": None}, {}),
        pytest.param({"stop": ""}, {}),
        pytest.param({"stop": []}, {}),
        pytest.param({"stop": [""]}, {}),
        pytest.param({"stop": ["", "END", "\n"]}, {"stop": ["END", "\n"]}),
        pytest.param({"tools": [], "tool_choice": "auto", "parallel_tool_calls": True}, {}),
        pytest.param({"tools": None, "tool_choice": "none"}, {}),
        pytest.param({"tool_choice": "required"}, {"tool_choice": "required"}),
        pytest.param(
            {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
            {"tools": [TOOL], "tool_choice": "auto", "parallel_tool_calls": False},
        ),
        pytest.param({"functions": [], "function_call": "auto"}, {}),
        pytest.param({"user": ""}, {}),
        pytest.param({"user": 42}, {"user": "42"}),
        pytest.param({"metadata": [], "logit_bias": []}, {}, id="PHP's empty objects"),
        pytest.param({"response_format": None, "reasoning_effort": ""}, {}),
        pytest.param({"store": 0}, {"store": False}),
        pytest.param({"priority": 5}, {}, id="it would jump the endpoint's queue"),
        pytest.param({"service_tier": "on_demand"}, {}, id="A18"),
        pytest.param({"think": None, "grammar": ""}, {"think": None, "grammar": ""}, id="foreign"),
    ],
)
def test_a_field(fields: dict[str, Any], sent: dict[str, Any]) -> None:
    assert sent_on(**fields) == sent


@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"role": "user", "content": 5}, {"role": "user", "content": "5"}),
        ({"role": "tool", "content": 1.5}, {"role": "tool", "content": "1.5"}),
        (
            {"role": "user", "content": {"type": "text", "text": "a"}},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
        ),
        ({"role": "user", "content": "a", "name": ""}, {"role": "user", "content": "a"}),
        (
            {"role": "assistant", "content": "", "tool_calls": []},
            {"role": "assistant", "content": ""},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": None, "function_call": None},
            {"role": "assistant", "content": None},
        ),
        ({"role": "developer", "content": "a"}, {"role": "developer", "content": "a"}),
    ],
)
def test_a_message(message: dict[str, Any], sent: dict[str, Any]) -> None:
    assert sent_on(messages=[message])["messages"] == [sent]


def test_what_needs_no_mending_is_not_copied() -> None:
    fields = {**CHAT, "temperature": 0.5}

    found = mended(fields, Api.CHAT)

    assert found == fields
    assert found["messages"][0] is CHAT["messages"][0]


def test_choices_stay_where_they_are_no_choice_of_tools() -> None:
    fields = {"prompt": "a", "tool_choice": "auto"}

    assert mended(fields, Api.COMPLETION) == fields
