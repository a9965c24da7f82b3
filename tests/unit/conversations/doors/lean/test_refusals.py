"""Refusals of no API in particular."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from conversations.doors.lean.refusals import of_end
from conversations.doors.openai.errors import OpenAIErrors


@pytest.mark.parametrize(
    ("end", "status", "code"),
    [
        ({"status": "timeout", "code": "timeout"}, 408, "timeout"),
        ({"status": "cancelled", "code": "cancelled"}, 409, "cancelled"),
        ({"status": "failed", "code": "http_503", "http_status": 0}, 502, "http_503"),
        ({"status": "failed", "code": "refused", "http_status": 422}, 422, "refused"),
        ({"status": "failed"}, 502, "failed"),
    ],
)
def test_the_refusal_that_a_jobs_end_amounts_to(
    end: dict[str, Any], status: int, code: str
) -> None:
    error = of_end(end)

    assert (error.status, error.code) == (status, code)
    assert orjson.loads(OpenAIErrors().body(error))["error"]["code"] == code
