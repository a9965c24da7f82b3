"""What a client may send and must not break: the right code, never a 500, nothing stored."""

from __future__ import annotations

import pytest

from tests.stack import Stack

OK = {"model": "fake-model", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty_body"),
        (b"   ", 400, "empty_body"),
        (b"{", 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'"text"', 400, "invalid_json"),
        ({}, 400, "missing_model"),
        ({**OK, "model": 7}, 400, "missing_model"),
        ({**OK, "model": "x" * 300}, 400, "invalid_value"),
        ({**OK, "model": "no-such"}, 404, "model_not_found"),
        ({"model": "fake-model"}, 400, "invalid_value"),
        ({**OK, "messages": []}, 400, "invalid_value"),
        ({**OK, "messages": ["hi"]}, 400, "invalid_value"),
        ({**OK, "messages": [{"role": "user", "content": True}]}, 400, "invalid_value"),
        ({**OK, "stream": "yes"}, 400, "invalid_type"),
        ({**OK, "stream_options": [1]}, 400, "invalid_type"),
        ({**OK, "max_tokens": "abc"}, 400, "invalid_type"),
        ({**OK, "max_tokens": True}, 400, "invalid_type"),
        ({**OK, "priority": "urgent"}, 400, "invalid_priority"),
        ({**OK, "priority": True}, 400, "invalid_priority"),
        ({**OK, "service_tier": []}, 400, "invalid_priority"),
        (
            b'{"model":"fake-model","messages":' + b"[" * 400 + b"]" * 400 + b"}",
            400,
            "invalid_value",
        ),
        (
            b'{"model":"fake-model","messages":[{"role":"user","content":"hi"}],"x":"\\u0000","y":'
            + b"[" * 900
            + b"]" * 900
            + b"}",
            400,
            "invalid_json",
        ),
        (b"x" * (50 * 1024 * 1024 + 1), 413, "body_too_large"),
        (b"[" + b"1," * 2_000_001 + b"1]", 413, "body_too_large"),
    ],
)
def test_is_refused_and_not_stored(stack: Stack, body: object, status: int, code: str) -> None:
    before = stack.rows("select count(*) from scheduling_job")

    answer = stack.call("POST", "/v1/chat/completions", body)

    assert (answer.status, answer.body["error"]["code"]) == (status, code), answer.raw
    assert set(answer.body["error"]) == {"message", "type", "param", "code"}
    assert answer.headers["x-should-retry"] == "false"
    assert stack.rows("select count(*) from scheduling_job") == before


@pytest.mark.parametrize("key", [None, "", "wrong", "testkey1.wrong", "é", "k" * 500])
def test_a_key_is_required(stack: Stack, key: str | None) -> None:
    answer = stack.call("POST", "/v1/chat/completions", OK, key=key)

    assert answer.status == 401
    assert answer.body["error"]["type"] == "authentication_error"


def test_a_revoked_key_is_refused(stack: Stack) -> None:
    other = "revoked1." + "r" * 32
    stack.environment["LLMQUEUE_API_KEY"] = other
    stack.manage("bootstrap")
    assert stack.call("GET", "/v1/models", key=other).status == 200

    stack.execute("update conversations_apikey set revoked = true where prefix = 'revoked1'")

    from tests.eventually import eventually

    eventually(lambda: stack.call("GET", "/v1/models", key=other).status == 401, seconds=3)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/models/none", 404),
        ("GET", "/api/v1/messages/rubbish/events", 404),
    ],
)
def test_unknown_paths_and_methods(stack: Stack, method: str, path: str, status: int) -> None:
    answer = stack.call(method, path, {} if method == "POST" else None)

    assert answer.status == status
    assert answer.body["error"]["message"]


def test_an_unknown_header_priority_is_refused(stack: Stack) -> None:
    assert stack.chat("hi", headers={"X-Priority": "asap"}).status == 400
    assert stack.chat("hi", headers={"X-Priority": "High"}).headers["x-llmqueue-priority"] == "high"


def test_the_endpoints_refusal_reaches_the_client(stack: Stack) -> None:
    answer = stack.chat("hello [[status=422]]")

    assert answer.status == 422
    assert answer.body["error"]["message"]
