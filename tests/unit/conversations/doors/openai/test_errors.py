"""OpenAI's error object."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import openai
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


# A24: what an SDK may send again, and what it may not. docs/api.md has this table.
TABLE: list[tuple[str, Refusal, bool]] = [
    ("an invalid request", Refusal(400, "invalid_value", "m"), False),
    ("no key", Refusal(401, "invalid_api_key", "m"), False),
    ("not allowed", Refusal(403, "permission_denied", "m"), False),
    ("unknown", Refusal(404, "model_not_found", "m"), False),
    ("the deadline is spent", of_end({"status": "timeout", "code": "timeout"}), False),
    ("cancelled", of_end({"status": "cancelled"}), False),
    ("a conflict", Refusal(409, "conflict", "m"), False),
    ("too large", Refusal(413, "too_large", "m"), False),
    ("the endpoint refused it",
     of_end({"status": "failed", "http_status": 422, "upstream": "{}"}), False),
    ("the queue is full", Refusal(429, "queue_full", "m", retry_after_seconds=20), True),
    ("full for long", Refusal(429, "queue_full", "m", retry_after_seconds=300), False),
    ("every endpoint is busy",
     of_end({"status": "failed", "http_status": 429, "retry_after_seconds": 7}), True),
    ("busy for long",
     of_end({"status": "failed", "http_status": 429, "retry_after_seconds": 1800}), False),
    ("a bug", Refusal(500, "internal_error", "m"), True),
    ("every endpoint failed", of_end({"status": "failed", "code": "http_500"}), True),
    ("an answer that would be unreadable again",
     of_end({"status": "failed", "code": "too_large", "is_final": True}), False),
    ("the worker is gone", of_end({"status": "failed", "code": "attempt_lost"}), True),
    ("the stream broke off", Refusal(502, "attempt_lost", "m"), True),
    ("an outage", Refusal(503, "unavailable", "m", retry_after_seconds=2), True),
    ("maintenance", Refusal(503, "maintenance", "m", retry_after_seconds=60), True),
    ("long maintenance", Refusal(503, "maintenance", "m", retry_after_seconds=3600), False),
]  # fmt: skip


@pytest.mark.parametrize(("refusal", "again"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_what_sdks_may_send_again(refusal: Refusal, again: bool) -> None:
    headers = dict(refusal.headers)

    assert headers.get("x-should-retry") == (None if again else "false")
    told = refusal.retry_after_seconds
    assert ("retry-after" in headers) == (told is not None), "people are told in any case"
    assert ("retry-after-ms" in headers) == (told is not None and again)


@dataclass(frozen=True, slots=True)
class Answered:
    """As much of an HTTP response as the SDK asks."""

    status_code: int
    headers: dict[str, str]


@pytest.mark.parametrize(("refusal", "again"), [r[1:] for r in TABLE], ids=[r[0] for r in TABLE])
def test_the_sdk_reads_it_so(refusal: Refusal, again: bool) -> None:
    """A24: by the code of the SDK itself."""
    client: Any = openai.OpenAI(api_key="k", base_url="http://localhost")

    assert client._should_retry(Answered(refusal.status, dict(refusal.headers))) is again


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
