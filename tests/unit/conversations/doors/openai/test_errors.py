"""OpenAI's error object."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import orjson
import pytest

from conversations.doors.lean.refusals import Refusal, of_end
from conversations.doors.lean.wire import Exchange
from conversations.doors.openai.errors import OpenAIErrors


@pytest.mark.parametrize(
    ("error", "kind", "headers"),
    [
        (Refusal(401, "c", "m"), "authentication_error", {b"x-should-retry": b"false"}),
        (Refusal(403, "c", "m"), "permission_error", {b"x-should-retry": b"false"}),
        (Refusal(408, "c", "m"), "server_error", {b"x-should-retry": b"false"}),
        (Refusal(400, "c", "m"), "invalid_request_error", {b"x-should-retry": b"false"}),
        (
            Refusal(429, "c", "m", retry_after_seconds=1.5),
            "rate_limit_error",
            {b"retry-after": b"2", b"retry-after-ms": b"1500"},
        ),
        (
            Refusal(503, "c", "m", retry_after_seconds=0.0),
            "server_error",
            {b"retry-after": b"1", b"retry-after-ms": b"1"},
        ),
    ],
)
async def test_a_refusal_is_openais(error: Refusal, kind: str, headers: dict[bytes, bytes]) -> None:
    received: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: MutableMapping[str, Any]) -> None:
        received.append(message)

    await Exchange({}, receive, send, errors=OpenAIErrors()).refuse(error)

    start, body = received
    assert start["status"] == error.status
    assert orjson.loads(body["body"]) == {
        "error": {"message": "m", "type": kind, "param": None, "code": "c"}
    }
    assert headers.items() <= dict(start["headers"]).items()


def test_an_endpoints_own_refusal_is_passed_on() -> None:
    error = of_end({"status": "failed", "http_status": 422, "upstream": '{"error":{"x":1}}'})

    assert OpenAIErrors().body(error) == b'{"error":{"x":1}}'


def test_a_stream_that_has_begun_ends_with_the_error_object() -> None:
    event = OpenAIErrors().event(Refusal(502, "attempt_lost", "m", param="p"))

    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert orjson.loads(event[6:])["error"] == {
        "message": "m",
        "type": "server_error",
        "param": "p",
        "code": "attempt_lost",
    }
