"""How long an endpoint asks to be left alone, in every form, and never without bound."""

from __future__ import annotations

import time
from typing import Any

import pytest

from balancing.calls.waits import LONGEST_SECONDS, told_seconds


def seconds(found: Any = None, text: str = "", status: int = 429, **headers: str) -> float:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return told_seconds(named, found, text, status=status)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("7", 7), ("1.5", 1.5), (" 3 ", 3), ("6m0s", 360), ("1s", 1), ("0", 0), ("-3", 0),
        ("NaN", 0), ("inf", 0), ("soon", 0), ("²", 0), ("", 0), ("604800", LONGEST_SECONDS),
        ("9" * 400, LONGEST_SECONDS), ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", LONGEST_SECONDS), ("Mon, 99 Foo 99", 0),
    ],
)  # fmt: skip
def test_retry_after(value: str, told: float) -> None:
    assert seconds(retry_after=value) == told


def test_milliseconds_are_more_exact() -> None:
    assert seconds(retry_after_ms="1500", retry_after="2") == 1.5
    assert seconds(retry_after_ms="NaN", retry_after="2") == 2


def test_the_budget_that_is_used_up_decides() -> None:
    limits = {
        "x-ratelimit-reset-requests": "1s", "x-ratelimit-remaining-requests": "5",
        "x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "0",
    }  # fmt: skip

    assert told_seconds(limits, None, "", status=429) == 360
    assert told_seconds({**limits, "x-ratelimit-remaining-tokens": "9"}, None, "", status=429) == 1
    assert told_seconds(limits, None, "", status=500) == 0
    later = {"x-ratelimit-reset": str(int((time.time() + 50) * 1000))}
    assert told_seconds(later, None, "", status=429) == pytest.approx(50, abs=2)


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"error": {"details": [{"retryDelay": "17.5s"}]}}, 17.5),
        ({"error": {"resets_in_seconds": 529498}}, LONGEST_SECONDS),
        ({"estimated_time": 20.0}, 20),
        ({"error": {"retry_after": -3}}, 0),
        ({"error": {"retry_after": float("nan")}}, 0),
        ({"error": {"metadata": {"headers": {"X-RateLimit-Reset": "9" * 30}}}}, LONGEST_SECONDS),
        ([[[[[[{"retry_after": 3}]]]]]], 0),
    ],
)
def test_the_error_object(found: Any, told: float) -> None:
    assert seconds(found) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("please try again in 7m12s.", 432), ("please try again in 860ms.", 0.86),
        ("resets in 16 days", LONGEST_SECONDS), ("your quota will reset after 27h41m36s", 3600),
        ("retry after 5 seconds", 5), ("please retry in 32.4s", 32.4), ("try again later", 0),
        ("limit 10, used 9", 0),
    ],
)  # fmt: skip
def test_the_text(text: str, told: float) -> None:
    assert seconds(text=text) == pytest.approx(told)
