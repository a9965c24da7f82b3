"""What does a single field say? Text, user ids, priorities, times, metadata, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.utils.dateparse import parse_datetime

from conversations.doors import text
from conversations.doors.rest.protocol.refusals import Code, RestError
from llmqueue_project.config import configuration
from scheduling.models import Priority

MAX_METADATA_BYTES = 16 * 1024
MAX_USER_ID_CHARS = 200
MAX_TITLE_CHARS = 200
MAX_MODEL_CHARS = 200
LARGEST_NUMBER = 2**31 - 1
FURTHEST = timedelta(days=366)


def content(value: Any) -> str:
    """A message's text."""
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RestError(Code.EMPTY_CONTENT, "content is required", field="content")
    return long_text(value, "content")


def long_text(value: Any, field: str) -> str:
    """Text up to the limit of a message; it may be empty."""
    if not isinstance(value, str):
        raise RestError(Code.MALFORMED_BODY, "must be a string", field=field)
    limit = configuration().web.max_content_chars
    if len(value) > limit:
        raise RestError(Code.CONTENT_TOO_LONG, f"must have at most {limit} characters", field=field)
    return text.storable(value)


def line(value: Any, field: str, limit: int) -> str:
    """A short printable text; None counts as empty."""
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > limit or not value.isprintable():
        raise RestError(
            Code.MALFORMED_BODY,
            f"must be a printable string of at most {limit} characters",
            field=field,
        )
    if value and not value.strip():
        raise RestError(Code.MALFORMED_BODY, "must not be blank", field=field)
    return value


def own_text(value: Any, field: str, limit: int) -> str:
    """An operator's text, over several lines if need be; it may be empty."""
    if not isinstance(value, str) or len(value) > limit or not text.is_storable(value):
        raise RestError(
            Code.MALFORMED_BODY, f"must be a string of at most {limit} characters", field=field
        )
    return value


def flag(value: Any, field: str) -> bool:
    if not isinstance(value, bool):
        raise RestError(Code.MALFORMED_BODY, "must be true or false", field=field)
    return value


def whole(value: Any, field: str, *, least: int = 0, most: int = LARGEST_NUMBER) -> int:
    """A whole number; neither `true`, `3.0` nor `"3"` is one."""
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or not least <= value <= most:
        raise RestError(
            Code.MALFORMED_BODY, f"must be a whole number from {least} to {most}", field=field
        )
    return int(value)


def number(value: Any, field: str) -> float:
    """A number; neither `true` nor `"3"` is one. JSON has no infinite ones."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise RestError(Code.MALFORMED_BODY, "must be a number", field=field)
    return float(value)


def words(value: Any, field: str) -> list[str]:
    """A list of strings; what they may say is the row's to judge."""
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise RestError(Code.MALFORMED_BODY, "must be a list of strings", field=field)
    return value


def json_object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RestError(Code.MALFORMED_BODY, "must be a JSON object", field=field)
    return value


def user_id(value: Any) -> str | None:
    """The tenant's own name for a user; None if the request names none."""
    if value is None:
        return None
    valid = isinstance(value, str) and value.strip() and value.isprintable()
    if not valid or len(value) > MAX_USER_ID_CHARS:
        raise RestError(
            Code.INVALID_USER_ID,
            f"must be a printable, non-empty string of at most {MAX_USER_ID_CHARS} characters",
            field="user_id",
        )
    return str(value)


def priority(value: Any) -> Priority | None:
    if value is None:
        return None
    try:
        return Priority.named(value)
    except ValueError as error:
        raise RestError(Code.INVALID_PRIORITY, str(error), field="priority") from None


def metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        stored: dict[str, Any] = text.storable_json(json_object(value, "metadata"))
        size = len(orjson.dumps(stored))
    except (orjson.JSONEncodeError, RecursionError):
        raise RestError(Code.MALFORMED_BODY, "is nested too deeply", field="metadata") from None
    if size > MAX_METADATA_BYTES:
        raise RestError(
            Code.MALFORMED_BODY,
            f"must have at most {MAX_METADATA_BYTES} bytes as JSON",
            field="metadata",
        )
    return stored


def future(value: Any, field: str, *, now: datetime) -> datetime | None:
    """As `instant`, but not in the past."""
    found = instant(value, field, now=now)
    if found is not None and found <= now:
        raise RestError(Code.MALFORMED_BODY, "must not be in the past", field=field)
    return found


def instant(value: Any, field: str, *, now: datetime) -> datetime | None:
    """A time with its zone, at most a year ahead; None if there is none."""
    if value is None:
        return None
    found = _datetime(value)
    if found is None or found.tzinfo is None:
        raise RestError(
            Code.MALFORMED_BODY,
            "must be an ISO 8601 time with its zone, for example 2027-01-31T08:00:00Z",
            field=field,
        )
    if found - now > FURTHEST:
        raise RestError(
            Code.MALFORMED_BODY, f"must be at most {FURTHEST.days} days ahead", field=field
        )
    return found


def _datetime(value: Any) -> datetime | None:
    """A time in UTC; None if it is not one. The first and the last year may overflow."""
    try:
        found = parse_datetime(value) if isinstance(value, str) and len(value) <= 40 else None
        return found.astimezone(UTC) if found and found.tzinfo else None
    except (ValueError, OverflowError):
        return None


def timeout_seconds(value: Any) -> float:
    """Total seconds from submit (or from `scheduled_at`) to the answer."""
    limits = configuration().scheduling
    if value is None:
        return limits.default_timeout_seconds
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value <= limits.max_timeout_seconds:
        raise RestError(
            Code.MALFORMED_BODY,
            f"must be seconds, more than 0 and at most {limits.max_timeout_seconds:g}",
            field="timeout",
        )
    return float(value)


def one_of(value: Any, choices: list[str], field: str) -> str:
    if not isinstance(value, str) or value not in choices:
        raise RestError(Code.MALFORMED_BODY, f"must be one of {', '.join(choices)}", field=field)
    return value


def without_nul(value: str, field: str) -> str:
    """Text from a path or query string, which is compared with names."""
    if "\x00" in value:
        raise RestError(Code.MALFORMED_BODY, "NUL characters are not accepted", field=field)
    return value
