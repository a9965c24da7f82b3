"""Whatever is sent to an adapter, it answers, refuses, or finds the shape unknown."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.endpoints.access import Access
from balancing.endpoints.target import Target
from balancing.errors import UNKNOWN_SHAPE, CallError
from balancing.kinds import KINDS
from balancing.kinds.call import Call, Timeouts

PATIENT = Timeouts(1, 1, 1, 1)
EXPECTED = (CallError, *UNKNOWN_SHAPE)
WORDS = st.sampled_from(
    [
        "text",
        "image_url",
        "tool_use",
        "function",
        "user",
        "assistant",
        "tool",
        "json_schema",
        "message_start",
        "error",
        "STOP",
        "content_block_start",
        "content_block_delta",
        "message_delta",
        "input_json_delta",
        "text_delta",
        "end_turn",
        "data:image/png;base64,AA==",
    ]
)
NAMES = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "id",
        "url",
        "image_url",
        "index",
        "delta",
        "content_block",
        "message",
        "usage",
        "error",
        "code",
        "model",
        "candidates",
        "parts",
        "functionCall",
        "finishReason",
        "usageMetadata",
        "promptFeedback",
        "tool_call_id",
        "input_audio",
        "format",
        "file",
        "stop_reason",
        "partial_json",
        "details",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats() | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "max_tokens",
        "temperature",
        "n",
        "reasoning_effort",
        "input",
        "dimensions",
        "user",
        "functions",
        "output_config",
    ]
)
KIND = st.sampled_from(["anthropic", "gemini", "azure_openai"])


@settings(max_examples=40)
@given(
    kind=KIND,
    api=st.sampled_from(["chat", "embedding"]),
    body=st.dictionaries(FIELDS, VALUES, max_size=4),
)
def test_requests(kind: str, api: str, body: dict[str, Any]) -> None:
    access = Access(kind=kind, api_version="1")
    target = Target(1, "e", "http://e/v1", frozenset(["m"]), "", 1.0, 1, "enabled", access=access)
    raw = orjson.dumps({"model": "m", "messages": [], **body}).decode()

    with suppress(*EXPECTED):
        outgoing = KINDS[kind].request(target, Call(UUID(int=1), api, raw, False, PATIENT), "key")
        assert orjson.loads(outgoing.body)


@settings(max_examples=40)
@given(
    kind=st.sampled_from(["anthropic", "gemini"]), events=st.lists(st.dictionaries(NAMES, VALUES))
)
def test_events(kind: str, events: list[dict[str, Any]]) -> None:
    translator = KINDS[kind].translator()
    assert translator is not None

    with suppress(*EXPECTED):
        for event in events:
            for chunk in translator.feed(event):
                assert "error" in chunk or {"id", "object", "model", "choices"} <= chunk.keys()
        for chunk in translator.end():
            assert chunk["usage"]["total_tokens"] is not None


@settings(max_examples=40)
@given(kind=KIND, answer=st.dictionaries(NAMES, VALUES, max_size=4))
def test_answers_and_errors(kind: str, answer: dict[str, Any]) -> None:
    call = Call(UUID(int=1), "chat", '{"model":"m"}', False, PATIENT)

    with suppress(*EXPECTED):
        assert isinstance(KINDS[kind].whole(answer, call), dict)
    with suppress(*EXPECTED):
        assert isinstance(KINDS[kind].listed(answer), list)
