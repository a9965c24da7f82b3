"""What a client may send and must not break: answered, or refused with the right code.

Never a 500, and nothing is stored of what is refused.
"""

from __future__ import annotations

import gzip
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.client import KEY
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


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"max_tokens": 256.0, "max_completion_tokens": None}, id="A16"),
        pytest.param({"stop": [], "tools": [], "tool_choice": "auto", "user": ""}, id="empty"),
        pytest.param({"messages": [{"role": "user", "content": "a\0b"}]}, id="A22"),
        pytest.param({"metadata": {"\ud83d": [float("nan")]}}, id="half a pair, NaN"),
        pytest.param({"service_tier": "on_demand", "priority": 7}, id="A18"),
        pytest.param({"stream": "false", "stream_options": {"include_usage": True}}, id="options"),
    ],
)
def test_foreign_values_are_answered(stack: Stack, fields: dict[str, Any]) -> None:
    answer = stack.call("POST", "/v1/chat/completions", {**OK, **fields})

    assert (answer.status, answer.headers["x-llmqueue-priority"]) == (200, "normal"), answer.raw
    assert answer.body["choices"][0]["message"]["content"]


def test_nul_is_stored_as_the_replacement_character(stack: Stack) -> None:
    """A22: in the request, and in the answer that repeats it."""
    answer = stack.chat("[[echo]] a\0b c")

    job = answer.headers["x-llmqueue-job"]
    [(body,)] = stack.rows("select body from scheduling_jobpayload where job_id = %s", job)
    assert (answer.status, "a\ufffdb c" in json.loads(body)["messages"][0]["content"]) == (
        200,
        True,
    )


@pytest.mark.parametrize("before", ["//v1", "/v1/", "/v1/v1", ""])
def test_a_base_url_that_is_not_quite_right_works(stack: Stack, before: str) -> None:
    """A20"""
    answer = stack.call("POST", f"{before}/chat/completions/", OK)

    assert answer.status == 200, answer.raw
    assert stack.call("GET", f"{before}/models").status == 200


def test_a_packed_body_is_answered(stack: Stack) -> None:
    packed = gzip.compress(json.dumps(OK).encode())

    answer = stack.call("POST", "/v1/chat/completions", packed, content_encoding="gzip")

    assert answer.status == 200, answer.raw


def test_photos_are_answered(stack: Stack) -> None:
    """A21"""
    photos = [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + "A" * 4_000_000}}
    ] * 3
    content = [{"type": "text", "text": "hi"}, *photos]
    body = json.dumps({**OK, "messages": [{"role": "user", "content": content}]}).encode()

    answer = stack.call("POST", "/v1/chat/completions", body)

    assert answer.status == 200, answer.raw
    job = answer.headers["x-llmqueue-job"]
    [(cost,)] = stack.rows("select cost from scheduling_job where id = %s", job)
    assert cost < 20_000, "an image is no text"


def test_a_request_waits_for_an_endpoint_that_is_disabled_for_a_moment(stack: Stack) -> None:
    switch = "update balancing_endpoint set state = %s where name = 'fake'"
    stack.execute(switch, "disabled")
    time.sleep(0.7)
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(stack.chat, "hi")
            time.sleep(0.5)
            listed = stack.call("GET", "/v1/models").body["data"]
            known = stack.call("GET", "/v1/models/fake-model").status
            assert not asked.done(), asked.result().raw
            stack.execute(switch, "enabled")
            assert asked.result().status == 200
    finally:
        stack.execute(switch, "enabled")
        time.sleep(0.7)
    assert (listed, known) == ([], 200)


@pytest.mark.parametrize("path", ["/api/chat", "/nothing"])
def test_a_path_of_no_door_is_an_error_object(stack: Stack, path: str) -> None:
    """A20"""
    answer = stack.call("POST", path, {})

    assert (answer.status, answer.body["error"]["code"]) == (404, "unknown_url")
    assert path in answer.body["error"]["message"]


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
    ],
)
def test_unknown_paths_and_methods(stack: Stack, method: str, path: str, status: int) -> None:
    answer = stack.call(method, path, {} if method == "POST" else None)

    assert answer.status == status
    assert answer.body["error"]["message"]
    assert ("allow" in answer.headers) is (status == 405)


@pytest.mark.parametrize(
    ("method", "identifier", "key", "status", "code"),
    [
        ("GET", "rubbish", KEY, 404, 1004),
        ("GET", "msg_" + "0" * 32, KEY, 404, 1004),
        ("GET", "rubbish", "no.key", 401, 1011),
        ("GET", "rubbish", None, 401, 1011),
        ("POST", "rubbish", KEY, 405, 1017),
    ],
)
def test_event_streams_refuse_in_the_rest_doors_envelope(
    stack: Stack, method: str, identifier: str, key: str | None, status: int, code: int
) -> None:
    answer = stack.call(method, f"/api/v1/messages/{identifier}/events", key=key)

    assert (answer.status, answer.body["code"]) == (status, code)
    assert answer.body["details"]["reason"]


def test_an_unknown_header_priority_is_refused(stack: Stack) -> None:
    assert stack.chat("hi", headers={"X-Priority": "asap"}).status == 400
    assert stack.chat("hi", headers={"X-Priority": "High"}).headers["x-llmqueue-priority"] == "high"


def test_the_endpoints_refusal_reaches_the_client(stack: Stack) -> None:
    answer = stack.chat("hello [[status=422]]")

    assert answer.status == 422
    assert answer.body["error"]["message"]
    job = answer.headers["x-llmqueue-job"]
    assert stack.rows("select error_status from scheduling_job where id = %s", job) == [(422,)]
