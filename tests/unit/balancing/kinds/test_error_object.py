"""X12: refusals of every form become OpenAI's error object, without addresses and credentials."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancing.calls import tolerant
from balancing.calls.refusals import Refusal, error_inside, error_of, is_error
from balancing.errors import CallError, Exhausted, Refused
from tests.field import examples
from tests.unit.balancing.calls.told import as_text

CREDENTIAL = 'sk-"secret"-0123456789'
HOST = "llm.example.org"
FORMS: list[tuple[Any, str]] = [
    ({"detail": "no such field"}, "no such field"),
    ({"detail": [{"loc": ["body", "n"], "msg": "must be 1", "type": "value_error"}]},
     "body.n: must be 1"),
    ({"error": "it is too long"}, "it is too long"),
    ({"error": {"message": "bad", "code": 400}}, "bad"),
    ({"error": {"msg": "bad"}}, "bad"),
    ({"message": "bad n", "type": "invalid_request_error"}, "bad n"),
    ({"object": "error", "message": "bad n", "code": 400}, "bad n"),
    ({"errors": [{"message": "one"}, {"message": "two"}]}, "one; two"),
    ({"errors": ["one"]}, "one"),
    ({"base_resp": {"status_code": 2013, "status_msg": "bad"}}, "bad"),
    ({"title": "Unprocessable", "detail": "bad n"}, "bad n"),
    ({"error": {"message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"bad n"}}'}}},
     "Provider returned error: bad n"),
    ({"title": "Validation", "status": 400, "errors": {"$.n": ["bad"]}}, "$.n: bad"),
    ({"n": ["Unknown field."]}, "n: Unknown field."),
    ({"errors": {"json": {"n": ["Unknown field."]}}, "code": 422}, "json: n: Unknown field."),
    ({"message": "must NOT have additional properties",
      "details": [{"params": {"additionalProperty": "n"}}]},
     "must NOT have additional properties: 'n'"),
    ("<Error><Code>X</Code><Message>bad n</Message></Error>", "bad n"),
    ('"a text"', "a text"),
    ("[]", "the endpoint answered 422"),
    ('["a", {"message": "b"}]', "a; b"),
    ("null", "the endpoint answered 422"),
    ("12", "the endpoint answered 422"),
    ("{}", "the endpoint answered 422"),
    ('{"error": null}', "the endpoint answered 422"),
    ("", "the endpoint answered 422"),
    ("plain words", "plain words"),
    ('{"error": {"message": "cut of', "cut of"),
    ('{"error": {"code": "cut of', "the endpoint answered 422"),
    ("<html><head><title>422 Not &amp; now</title></head><body>x</body></html>", "422 Not & now"),
    ("<html>", "the endpoint answered 422"),
]  # fmt: skip


def assert_openai(body: str) -> dict[str, Any]:
    error: dict[str, Any] = orjson.loads(body)["error"]
    assert isinstance(error["message"], str)
    assert error["message"]
    assert isinstance(error["type"], str)
    assert error["type"]
    assert error["param"] is None or isinstance(error["param"], str)
    assert error["code"] is None or isinstance(error["code"], str)
    return error


@pytest.mark.parametrize(("body", "text"), FORMS)
def test_the_text_of_each_form(body: Any, text: str) -> None:
    """X12"""
    refused = error_of(Refusal(422, as_text(body)))

    assert isinstance(refused, Refused)
    assert (refused.status, str(refused), refused.public) == (422, text, text)
    error = assert_openai(refused.body)
    assert (error["message"], error["type"]) == (text, "invalid_request_error")


def test_what_a_provider_adds_is_kept() -> None:
    theirs = {"message": "m", "type": "exceed_context_size_error", "code": 400, "n_ctx": 8192}

    error = assert_openai(error_of(Refusal(400, as_text({"error": theirs}))).body)

    assert error == {**theirs, "code": "400", "param": None}


@pytest.mark.parametrize(
    "address",
    [
        "http://10.1.2.3:8000/v1/chat", "10.0.0.7", "192.168.1.9:80", "172.20.0.3", "127.0.0.1:9",
        "http://vllm:8000/v1", "localhost:11434", "llm.prod.svc.cluster.local", "gpu7.internal",
        "http://[::1]:8000/", "https://llm.example.org/v1/x", "llm.example.org", CREDENTIAL,
        "sk-proj-abcdefgh12345678", "Bearer abcdefgh12345678",
    ],
)  # fmt: skip
def test_no_address_and_no_credential_is_told(address: str) -> None:
    body = {"error": {"message": f"at {address} it failed", "innererror": {"at": address}}}

    refused = error_of(Refusal(400, as_text(body), {}, HOST), CREDENTIAL)

    assert address not in refused.public
    assert address not in refused.body
    assert address not in orjson.loads(refused.body)["error"]["message"]
    assert "0123456789" not in refused.body
    assert "it failed" in str(refused)


def test_what_is_public_stays() -> None:
    text = "see https://platform.openai.com/docs/x, version 1.2.3.4, model gpt-4.1, item 10.5"

    assert str(error_of(Refusal(400, as_text({"error": text}), {}, HOST))) == text


@pytest.mark.parametrize(
    ("found", "is_one"),
    [
        ({"choices": None, "error": {"message": "m"}}, True),
        ({"object": "error", "message": "m", "code": 400}, True),
        ({"detail": "m"}, True),
        ({"base_resp": {"status_code": 1002}}, True),
        ({"code": 500, "msg": "m"}, True),
        ({"success": False, "message": "m"}, True),
        ({"status": "error", "message": "m"}, True),
        ({"type": "error", "error": {"type": "overloaded_error"}}, True),
        ({"choices": [{}], "base_resp": {"status_code": 0}}, False),
        ({"choices": [{}], "error": None}, False),
        ({"choices": [{"message": {"content": "m"}}], "message": "m", "code": 0}, False),
        ({"object": "list", "data": [{}]}, False),
        ({"type": "message", "content": []}, False),
        ({"candidates": [{}]}, False),
        ([], False),
    ],
)
def test_what_an_error_inside_a_success_is(found: Any, is_one: bool) -> None:
    """A4"""
    assert is_error(found) is is_one


def test_an_error_inside_a_success_is_told_to_the_client() -> None:
    """X20, X18"""
    refused = error_inside({"error": {"message": "bad n", "code": 400}})

    assert isinstance(refused, Refused)
    assert (refused.status, str(refused)) == (400, "bad n")
    assert assert_openai(refused.body)["code"] == "400"


@pytest.mark.parametrize(
    ("inner", "text"),
    [
        ('"message":"bad \\ud83d n","code":400', "bad \ufffd n"),
        ('"message":"bad n","code":400,"x":' + "[" * 400 + "]" * 400, ""),
        ('"msg":"bad n","loc":' + "[" * 1000 + "]" * 1000, ""),
    ],
    ids=["half of a character", "deeper than is written", "deeper than Python calls"],
)
def test_an_odd_error_inside_a_success_is_an_error_all_the_same(inner: str, text: str) -> None:
    """A4, A11: whatever a server writes there, the attempt has failed and the worker goes on."""
    error = error_inside(tolerant.read(f'{{"error":{{{inner}}}}}'.encode()))

    assert orjson.dumps(str(error))
    assert str(error) == (text or "the endpoint reports an error without a text")


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from([CREDENTIAL, "400", "429", "insufficient_quota", "10.0.0.1", "rate limit"])
)
NAMES = st.sampled_from(
    ["error", "errors", "message", "detail", "code", "type", "status", "loc", "msg", "param",
     "base_resp", "status_code", "details", "retryDelay", "metadata", "raw", "resets_at", "object"]
)  # fmt: skip
OBJECTS = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def _written(found: Any) -> str:
    try:
        return orjson.dumps(found).decode()
    except (orjson.JSONEncodeError, TypeError):
        return str(found)


BODIES = OBJECTS.map(_written) | st.text(max_size=60)
HEADERS = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "x-ratelimit-reset-tokens",
                     "x-ratelimit-remaining-tokens", "x-ratelimit-reset"]),
    st.text(max_size=12) | st.sampled_from(
        ["NaN", "-5", "inf", "1e400", "9" * 400, "604800", "6m0s", "0", "1.5", "99999999999",
         "Wed, 21 Oct 9999 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", "Mon, 99 Foo", "²"]),
    max_size=3,
)  # fmt: skip


@settings(max_examples=examples(150, 20_000), deadline=None)
@given(status=st.integers(100, 599), body=BODIES, headers=HEADERS)
def test_any_refusal_becomes_an_error(status: int, body: str, headers: dict[str, str]) -> None:
    """Random refusals: always a CallError, an OpenAI error object, no credential, bounded waits."""
    error = error_of(Refusal(status, body, headers, HOST), CREDENTIAL)

    assert isinstance(error, CallError)
    assert 0.0 <= error.retry_after_seconds <= 3600.0
    for text in (str(error), error.public, error.body):
        assert "0123456789" not in text
    if isinstance(error, Refused):
        assert 400 <= error.status < 500
        assert_openai(error.body)
    if isinstance(error, Exhausted):
        assert error.retry_after_seconds > 0.0


@settings(max_examples=examples(100, 10_000), deadline=None)
@given(found=st.dictionaries(NAMES, OBJECTS, max_size=4))
def test_any_error_inside_a_success_becomes_an_error(found: dict[str, Any]) -> None:
    assert is_error(found) in (True, False)
    error = error_inside(found)
    if isinstance(error, Refused):
        assert_openai(error.body)
