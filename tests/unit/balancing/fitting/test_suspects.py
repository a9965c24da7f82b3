"""Refusals as servers word them, and the fields that they name."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from balancing.errors import Refused, Unavailable
from balancing.fitting.suspects import Suspicion, suspects

STREAM: dict[str, Any] = {
    "model": "m",
    "messages": [{"role": "user", "content": "x"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
BODY = {
    **STREAM,
    "user": "u",
    "metadata": {},
    "store": False,
    "seed": 1,
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "parallel_tool_calls": False,
    "max_tokens": 5,
    "temperature": 0.1,
    "n": 1,
}


def error(text: str, *, status: int = 400, **fields: Any) -> Refused:
    body = {"error": {"message": text, "type": "invalid_request_error", **fields}}
    return Refused("refused", text, status=status, body=orjson.dumps(body).decode())


def named(text: str, body: Any = BODY, **fields: Any) -> dict[str, bool]:
    return {s.field: s.is_of_all for s in suspects(error(text, **fields), body)}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("Unrecognized request argument supplied: stream_options", {"stream_options"}),
        ("Unrecognized request arguments supplied: seed, user", {"seed", "user"}),
        ("Unknown parameter: 'metadata'.", {"metadata"}),
        ("Unsupported parameter: 'store' is not supported with this model.", {"store"}),
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens'.",
            {"max_tokens"},
        ),
        ("body.stream_options: Extra inputs are not permitted", {"stream_options"}),
        (
            "body.stream_options: Extra inputs are not permitted; body.user: Extra inputs ...",
            {"stream_options", "user"},
        ),
        (
            "Validation error at #/stream_options: Extra inputs are not permitted",
            {"stream_options"},
        ),
        (
            "[{'type': 'forbidden', 'loc': ('body', 'stream_options'), 'input': {'user': 1}}]",
            {"stream_options"},
        ),
        ("__init__() got an unexpected keyword argument 'user'", {"user"}),
        ("property 'parallel_tool_calls' is unsupported", {"parallel_tool_calls"}),
        ("Model grok-4 does not support parameter presencePenalty.", {"presence_penalty"}),
        ("Penalty is not enabled for this model", {"presence_penalty", "frequency_penalty"}),
        (
            'Invalid JSON payload received. Unknown name "seed": Cannot find field.',
            {"seed"},
        ),
        (
            "Failed to deserialize: unknown field `seed`, expected one of `model`, `user`, `store`",
            {"seed"},
        ),
        ("stream options are not supported by this backend", {"stream_options"}),
        ("This endpoint doesn't support the `user` parameter", {"user"}),
        ("Additional properties are not allowed ('store' was unexpected)", {"store"}),
        ("user is not supported", {"user"}),
        ("presence_penalty must be 0", {"presence_penalty"}),
        ("n is not supported", {"n"}),
        ("参数 stream_options 不支持", {"stream_options"}),
        ("参数 user 不支持", {"user"}),
        ("1 validation error for Request\nuser\n  Extra inputs are not permitted", {"user"}),
        ('["At body -> user: Extra inputs are not permitted"]', {"user"}),
        ("$.user: The JSON property 'user' could not be mapped to any .NET member", {"user"}),
        ('Message type "inference.ChatRequest" has no field named "seed".', {"seed"}),
        ("json: user: Unknown field.", {"user"}),
        (
            "does not support parameters: ['seed'], for model=m. If you want to use it, ...",
            {"seed"},
        ),
    ],
)
def test_a_field_that_is_refused_as_such(text: str, fields: set[str]) -> None:
    assert named(text) == dict.fromkeys(fields, True)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (
            "'parallel_tool_calls' is only allowed when 'tools' are specified.",
            {"parallel_tool_calls"},
        ),
        (
            "The 'metadata' parameter is not allowed unless 'store' is enabled.",
            {"metadata", "store"},
        ),
        ("Invalid 'metadata'", {"metadata"}),
        (
            "only one of presence_penalty and frequency_penalty can be set",
            {"presence_penalty", "frequency_penalty"},
        ),
    ],
)
def test_a_field_that_is_refused_in_this_case_teaches_nothing(text: str, fields: set[str]) -> None:
    assert named(text) == dict.fromkeys(fields, False)


def test_stream_options_of_a_request_that_is_no_stream_teach_nothing() -> None:
    body = {**BODY, "stream": False}

    assert named("Unknown parameter: stream_options", body) == {"stream_options": False}


@pytest.mark.parametrize(
    "text",
    [
        "presence_penalty must be between -2 and 2",
        "'user' is too long: at most 64 characters",
        "max_tokens is too large: 100000. This model supports at most 16384",
        "Invalid value for 'seed': expected an integer",
        "metadata.a: value should be a valid string",
        "max_tokens: 5 is invalid",
        "Unknown parameter: 'temperature'",
        "Unsupported value: 'temperature' does not support 0.1 with this model.",
        "Unrecognized request argument supplied: tools",
        "'messages.0' : for 'role:user' the following must be satisfied: property 'x' is missing",
        "Conversation roles must alternate user/assistant/user",
        "the prompt is not allowed",
        "the user asked for an unknown city",
    ],
)
def test_what_is_the_clients_to_mend(text: str) -> None:
    assert named(text) == {}


@pytest.mark.parametrize(
    ("param", "text", "fields"),
    [
        ("stream_options.include_usage", "Unknown parameter", {"stream_options"}),
        ("user", "Unsupported parameter", {"user"}),
        ("messages", "Unsupported parameter: user is unknown", set()),
        ("None", "Unknown parameter: 'user'", {"user"}),
    ],
)
def test_param_decides(param: str, text: str, fields: set[str]) -> None:
    assert set(named(text, param=param)) == fields


def test_a_list_of_pydantics_in_the_body() -> None:
    detail = [{"type": "extra_forbidden", "loc": ["body", "user"], "msg": "Extra inputs ..."}]
    body = orjson.dumps({"detail": detail}).decode()
    refused = Refused("refused", "the endpoint answered 422", status=422, body=body)

    assert suspects(refused, BODY) == [Suspicion("user", True)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "the endpoint answered 400",
        "Bad Request",
        "400 Bad Request",
        "Validation error.",
        "invalid params",
        "API 调用参数有误",
    ],
)
def test_a_refusal_without_a_word_makes_stream_options_suspect(text: str) -> None:
    assert suspects(error(text), STREAM) == [Suspicion("stream_options", True, is_guess=True)]
    assert suspects(error(text), {**STREAM, "stream": False}) == []


@pytest.mark.parametrize("status", [401, 403, 404, 413, 429, 503])
def test_other_statuses_name_no_field(status: int) -> None:
    assert suspects(error("Unknown parameter: 'user'", status=status), BODY) == []


def test_a_crash_counts_only_where_it_plainly_refuses() -> None:
    def crash(text: str) -> Unavailable:
        return Unavailable("http_500", text, status=500)

    plain = crash("create() got an unexpected keyword argument 'stream_options'")

    assert suspects(plain, BODY) == [Suspicion("stream_options", True)]
    assert suspects(crash("Internal Server Error"), BODY) == []
    assert suspects(crash("failed on 'user'"), BODY) == []


@pytest.mark.parametrize(("value", "may"), [(1, True), (None, True), (2, False)])
def test_a_field_with_its_usual_value_may_go(value: Any, may: bool) -> None:
    assert bool(named("Unknown parameter: 'n'", {**BODY, "n": value})) is may


NOTED: dict[str, Any] = {
    **STREAM,
    "messages": [
        {"role": "user", "content": "x", "name": "ann"},
        {
            "role": "assistant",
            "content": "y",
            "refusal": None,
            "reasoning_content": "hm",
            "tool_calls": [{"id": "1", "extra_content": {}}],
        },
        {"role": "assistant", "content": "", "refusal": "no"},
    ],
}


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        (
            "for 'role:x' it must be: 'messages.1' : 'reasoning_content' is unsupported",
            {"messages.reasoning_content"},
        ),
        (
            "Unknown parameter: 'messages[1].tool_calls[0].extra_content'.",
            {"messages.extra_content"},
        ),
        (
            "body.messages.1.assistant.refusal: Extra inputs are not permitted",
            {"messages.refusal"},
        ),
        ("'messages.0' : property 'name' is unsupported", set()),
        ("'messages.1' : property 'content' is unsupported", set()),
        ("messages.1.reasoning_content is too long", set()),
    ],
)
def test_notes_in_messages(text: str, fields: set[str]) -> None:
    assert named(text, NOTED) == dict.fromkeys(fields, True)


def test_notes_in_messages_by_param_and_loc() -> None:
    loc = [{"loc": ["body", "messages", 1, "assistant", "refusal"], "msg": "Extra inputs ..."}]
    body = orjson.dumps({"detail": loc}).decode()
    refused = Refused("refused", "the endpoint answered 422", status=422, body=body)

    assert suspects(refused, NOTED) == [Suspicion("messages.refusal", True)]
    path = "messages[1].tool_calls[0].extra_content"
    assert named("Unknown parameter", NOTED, param=path) == {"messages.extra_content": True}


@pytest.mark.parametrize("text", [" " * 60_000 + "x", "'user[" * 10_000, "(" * 50_000 + "user"])
def test_a_long_refusal_is_read_in_no_time(text: str) -> None:
    began = time.perf_counter()
    suspects(Refused("refused", text, status=400, body=orjson.dumps({"a": text}).decode()), BODY)
    suspects(Refused("refused", "", status=400, body=orjson.dumps({"a": text}).decode()), BODY)

    assert time.perf_counter() - began < 1
