"""How long does an endpoint ask to be left alone? Its headers and its error object say so.

Nothing here is trusted: a wait is a number from 0 to `LONGEST_SECONDS`, whatever was sent.
Sources: RFC 9110 (Retry-After); Azure (retry-after-ms); OpenAI and Groq (x-ratelimit-reset-*, such
as `6m0s`); Google's RetryInfo; OpenRouter (X-RateLimit-Reset); Codex (resets_in_seconds); Hugging
Face (estimated_time). Others say it in the text ("Please try again in 7m12s").
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_SECONDS = 3600.0
_MOST_DIGITS = 40
_UNITS = {
    "ms": 0.001, "milliseconds": 0.001, "millisecond": 0.001,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hrs": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0, "week": 604800.0, "weeks": 604800.0,
}  # fmt: skip
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)\s?([a-z]{1,12})", re.ASCII)
_TOLD = re.compile(
    r"(?:again|retry|retry[- ]after|resets?|available|wait)(?: again)?"
    r" ?(?:in|after|at least|for)?:? (?:about )?"
    r"((?:\d{1,12}(?:\.\d{1,12})? ?[a-z]{1,12}[ ,]{0,2}){1,4})",
    re.ASCII,
)
_FIELDS = {
    "retry_after": 1.0, "retryAfter": 1.0, "retry_after_seconds": 1.0, "resets_in_seconds": 1.0,
    "retry_after_ms": 0.001, "estimated_time": 1.0, "retryDelay": 1.0,
}  # fmt: skip
_NESTED = ("error", "details", "metadata", "headers")


def told_seconds(headers: Mapping[str, str], found: Any, text: str, *, status: int = 0) -> float:
    """Seconds to wait; 0 if nothing says how long.

    Args:
        headers: with names in lower case.
        found: the error object.
        text: its message, in lower case.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds > 0.0:
        return bounded(milliseconds / 1000)
    seconds = _of_header(headers.get("retry-after", "")) or _of_object(found) or _of_text(text)
    if not seconds and status == 429:
        seconds = _of_rate_limits(headers)
    return bounded(seconds)


def bounded(seconds: float) -> float:
    """A wait that can be used: NaN and what is negative are none."""
    return min(seconds, LONGEST_SECONDS) if seconds > 0.0 else 0.0


def _of_header(value: str) -> float:
    value = value.strip()
    if seconds := _number(value):
        return seconds
    if parts := duration_seconds(value):
        return parts
    try:
        return parsedate_to_datetime(value[:100]).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def duration_seconds(value: str) -> float:
    """Seconds of a duration such as `1m30.5s`; 0 if it is none."""
    return sum(
        float(number) * _UNITS.get(unit, 0.0) for number, unit in _PART.findall(value[:100].lower())
    )


def _of_text(text: str) -> float:
    found = _TOLD.search(text[:2000])
    return duration_seconds(found.group(1)) if found else 0.0


def _of_object(found: Any) -> float:
    for each in _objects(found):
        for name, factor in _FIELDS.items():
            value = each.get(name)
            seconds = _number(value) or (duration_seconds(value) if isinstance(value, str) else 0.0)
            if seconds > 0.0:
                return seconds * factor
        for name in ("resets_at", "reset_at", "X-RateLimit-Reset"):
            if (left := _until(_number(each.get(name)))) > 0.0:
                return left
    return 0.0


def _of_rate_limits(headers: Mapping[str, str]) -> float:
    """The wait for the budget that is used up; the shortest where none is marked so."""
    spent: list[float] = []
    others: list[float] = []
    for name, value in headers.items():
        if "ratelimit" not in name or "reset" not in name:
            continue
        number = _number(value)
        seconds = _until(number) if number > 1e9 else number or duration_seconds(value)
        is_spent = headers.get(name.replace("reset", "remaining"), "").strip() == "0"
        (spent if is_spent else others).append(seconds)
    return max(spent) if spent else min((s for s in others if s > 0.0), default=0.0)


def _objects(found: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 4:
        return
    if isinstance(found, list):
        for each in found[:10]:
            yield from _objects(each, depth + 1)
    elif isinstance(found, dict):
        yield found
        for name in _NESTED:
            yield from _objects(found.get(name), depth + 1)


def _until(instant: float) -> float:
    """Seconds until an instant in seconds or milliseconds since 1970."""
    return (instant / 1000 if instant > 1e11 else instant) - time.time() if instant > 1e9 else 0.0


def _number(value: Any) -> float:
    """A number, or text that is one; 0 if it is none, or is negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return 0.0
    text = str(value).strip()[:500]
    if not re.fullmatch(r"\d+(\.\d*)?", text, re.ASCII):
        return 0.0
    return float(text) if len(text) <= _MOST_DIGITS else LONGEST_SECONDS
