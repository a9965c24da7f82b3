"""What of an OpenAI request we understand, what we refuse, and what passes untouched."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.doors.lean.refusals import Refusal
from conversations.doors.openai.request import Completion, parse
from scheduling.models import Api

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def chat(**fields: Any) -> Completion:
    return parse(orjson.dumps({**CHAT, **fields}), Api.CHAT)


def refused(raw: bytes, api: Api = Api.CHAT) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(raw, api)
    assert caught.value.status == 400
    return caught.value


def outcome(raw: bytes, api: Api) -> Completion | int:
    """The request, or the status of its refusal."""
    try:
        return parse(raw, api)
    except Refusal as error:
        return error.status


def upstream(request: Completion) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(request.upstream)
    return found


def test_a_plain_request() -> None:
    request = chat()

    assert (request.model, request.stream, request.max_tokens) == ("m", False, None)
    assert upstream(request) == request.fields == CHAT


def test_unknown_fields_pass_and_our_own_do_not() -> None:
    request = chat(priority="high", service_tier="auto", temperature=0.5, extra={"a": [1]})

    assert upstream(request) == {**CHAT, "temperature": 0.5, "extra": {"a": [1]}}
    assert request.fields["priority"] == "high"


@pytest.mark.parametrize(
    ("options", "wants_usage"),
    [
        (None, False),
        ({}, False),
        ({"include_usage": True}, True),
        ({"include_usage": False}, False),
    ],
)
def test_a_stream_always_asks_upstream_for_usage(options: Any, wants_usage: bool) -> None:
    request = chat(stream=True, stream_options=options)

    assert upstream(request)["stream_options"] == {"include_usage": True}
    assert request.wants_usage is wants_usage


def test_other_stream_options_are_kept() -> None:
    request = chat(stream=True, stream_options={"other": 1})

    assert upstream(request)["stream_options"] == {"other": 1, "include_usage": True}


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({"max_tokens": 5}, 5),
        ({"max_completion_tokens": 7, "max_tokens": 5}, 7),
        ({"max_completion_tokens": None, "max_tokens": 5}, 5),
        ({}, None),
        ({"max_tokens": 256.0}, 256),
        ({"max_tokens": " 256 "}, 256),
        ({"max_tokens": "256.0"}, 256),
        ({"max_tokens": -1}, None),
        ({"max_tokens": -1.0}, None),
        ({"max_tokens": 0}, None),
        ({"max_tokens": "-1"}, None),
        ({"max_tokens": ""}, None),
        ({"max_tokens": 1e30}, None),
        ({"max_tokens": 2**63}, None),
        ({"max_completion_tokens": -1, "max_tokens": 5}, 5),
    ],
)
def test_the_limit_of_tokens(fields: dict[str, Any], limit: int | None) -> None:
    """A16"""
    assert chat(**fields).max_tokens == limit


def test_a_legacy_completion() -> None:
    request = parse(b'{"model":"m","prompt":["a","b"]}', Api.COMPLETION)

    assert (request.api, upstream(request)["prompt"]) == ("completion", ["a", "b"])


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "empty_body"),
        (b" \n", "empty_body"),
        (b"{", "invalid_json"),
        (b"[]", "invalid_json"),
        (b'"x"', "invalid_json"),
        (b"null", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
    ],
)
def test_what_is_no_json_object(raw: bytes, code: str) -> None:
    assert refused(raw).code == code


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"model": "m" * 201}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 2}, "stream"),
        ({"stream": []}, "stream"),
        ({"stream_options": [1]}, "stream_options"),
        ({"stream_options": "x"}, "stream_options"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "abc"}, "max_tokens"),
        ({"max_tokens": []}, "max_tokens"),
        ({"max_tokens": {}}, "max_tokens"),
        ({"max_tokens": "abc", "max_completion_tokens": 5}, "max_tokens"),
        ({"max_completion_tokens": "five"}, "max_completion_tokens"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [CHAT["messages"][0], "hi"]}, "messages[1]"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": 5}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": True}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": {"text": "hi"}}]}, "messages[0].content"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(fields: dict[str, Any], param: str) -> None:
    assert refused(orjson.dumps({**CHAT, **fields})).param == param


@pytest.mark.parametrize("prompt", [None, [], 5, {}])
def test_a_prompt_of_the_wrong_kind(prompt: Any) -> None:
    error = refused(orjson.dumps({"model": "m", "prompt": prompt}), Api.COMPLETION)

    assert error.param == "prompt"


def test_nul_becomes_the_replacement_character_wherever_it_hides() -> None:
    """A22"""
    request = chat(
        model="a\0b",
        messages=[{"role": "tool", "content": "a\0\0"}],
        metadata={"deep": [{"k\0": 1}]},
    )

    assert request.model == "a\ufffdb"
    assert upstream(request) == {
        "model": "a\ufffdb",
        "messages": [{"role": "tool", "content": "a\ufffd\ufffd"}],
        "metadata": {"deep": [{"k\ufffd": 1}]},
    }


def test_a_backslash_before_u0000_is_no_nul() -> None:
    content = r"the text \u0000 itself"

    request = chat(messages=[{"role": "user", "content": content}])

    assert upstream(request)["messages"][0]["content"] == content


@pytest.mark.parametrize("depth", [200, 300, 1000, 1020])
@pytest.mark.parametrize("leaf", [b"", b'"\\u0000"'])
def test_depth_is_no_crash(depth: int, leaf: bytes) -> None:
    nested = b"[" * depth + leaf + b"]" * depth
    raw = orjson.dumps(CHAT)[:-1] + b',"x":' + nested + b"}"

    found = outcome(raw, Api.CHAT)

    assert found == 400 or (depth < 254 and isinstance(found, Completion))


@given(fields=st.dictionaries(st.sampled_from([*CHAT, "stream", "n", "stream_options"]), values))
def test_any_object_is_a_request_or_a_refusal(fields: dict[str, Any]) -> None:
    for api in (Api.CHAT, Api.COMPLETION):
        found = outcome(orjson.dumps({**CHAT, **fields}), api)

        assert found == 400 or isinstance(upstream(cast(Completion, found)), dict)


@given(raw=st.binary(max_size=60))
def test_any_bytes_are_a_refusal(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize(
    "given",
    ["a", "", [""], ["a", "b"], [1, 2], [[1], [2, 3]], [{"text": "a"}, {"image": "b"}, "c"]],
)
def test_embeddings_take_texts_and_tokens(given: Any) -> None:
    request = parse(orjson.dumps({"model": "m", "input": given, "dimensions": 3}), Api.EMBEDDING)

    assert (request.api, request.stream) == ("embedding", False)
    assert upstream(request) == {"model": "m", "input": given, "dimensions": 3}


@pytest.mark.parametrize(
    "given", [None, [], [[]], ["a", 1], [1, "a"], [1.5], [True], {"a": 1}, [["a"]]]
)
def test_other_inputs_are_refused(given: Any) -> None:
    assert refused(orjson.dumps({"model": "m", "input": given}), Api.EMBEDDING).param == "input"


def test_embeddings_are_not_streamed() -> None:
    body = {"model": "m", "input": "a", "stream": True}

    assert refused(orjson.dumps(body), Api.EMBEDDING).param == "stream"


def test_embeddings_get_no_field_of_streams() -> None:
    body = {"model": "m", "input": "a", "stream": False, "stream_options": None}

    found = parse(orjson.dumps(body), Api.EMBEDDING)

    assert upstream(found) == {"model": "m", "input": "a"}


@pytest.mark.parametrize("options", [{"include_usage": True}, {}, None, []])
def test_options_of_streams_go_with_a_stream_only(options: Any) -> None:
    assert upstream(chat(stream=False, stream_options=options)) == {**CHAT, "stream": False}


@pytest.mark.parametrize("asked", [True, 1, "true"])
def test_a_stream_is_asked_for_in_plain_words(asked: Any) -> None:
    request = chat(stream=asked, stream_options={"include_usage": asked})

    assert (request.stream, request.wants_usage, upstream(request)["stream"]) == (True, True, True)


def test_spaces_around_a_model_are_not_its_name() -> None:
    request = chat(model=" m\n")

    assert (request.model, upstream(request)["model"]) == ("m", "m")
