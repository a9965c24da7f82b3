"""How a refusal of the lean application reads in the envelope of `/api/v1`."""

from __future__ import annotations

import orjson
import pytest

from conversations.doors.lean.refusals import Refusal
from conversations.doors.rest.protocol.lean_errors import RestErrors


@pytest.mark.parametrize(
    ("status", "word", "code", "name"),
    [
        (401, "invalid_api_key", 1011, "unauthenticated"),
        (401, "missing_api_key", 1011, "unauthenticated"),
        (404, "message_not_found", 1004, "message_not_found"),
        (404, "unknown_url", 1016, "not_found"),
        (405, "method_not_allowed", 1017, "method_not_allowed"),
        (400, "invalid_value", 1014, "malformed_body"),
        (429, "too_many", 1009, "rate_limited"),
        (503, "unavailable", 2003, "queue_unavailable"),
        (503, "overloaded", 2006, "overloaded"),
        (503, "shutting_down", 2007, "shutting_down"),
        (500, "internal_error", 2004, "scheduler_error"),
        (502, "whatever", 2004, "scheduler_error"),
    ],
)
def test_each_refusal_has_its_business_code(status: int, word: str, code: int, name: str) -> None:
    refusal = Refusal(status, word, "a reason", param="p")

    body = orjson.loads(RestErrors().body(refusal))

    assert (body["code"], body["error"]) == (code, name)
    assert body["details"] == {"field": "p", "reason": "a reason"}
    assert set(body) == {"code", "message", "error", "details", "timestamp"}


def test_a_stream_ends_with_the_envelope_as_an_error_event() -> None:
    event = RestErrors().event(Refusal(503, "overloaded", "wait")).decode()

    name, data = event.strip().split("\n")
    assert name == "event: error"
    assert orjson.loads(data.removeprefix("data: "))["code"] == 2006
