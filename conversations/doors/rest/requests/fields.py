"""What does a single field say? Text, user ids, priorities, times, metadata, checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from django.utils.dateparse import parse_datetime

from conversations.doors.rest.protocol.parsers import contains_nul
from conversations.doors.rest.protocol.refusals import Code, RestError
from llmqueue_project.config import configuration
from scheduling.models import Priority

MAX_METADATA_BYTES = 16 * 1024
MAX_USER_ID_CHARS = 200
MAX_TITLE_CHARS = 200
MAX_MODEL_CHARS = 200
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
    return value


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
    if not isinstance(value, dict):
        raise RestError(Code.MALFORMED_BODY, "must be a JSON object", field="metadata")
    try:
        size = len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        raise RestError(Code.MALFORMED_BODY, "is nested too deeply", field="metadata") from None
    if size > MAX_METADATA_BYTES:
        raise RestError(
            Code.MALFORMED_BODY,
            f"must have at most {MAX_METADATA_BYTES} bytes as JSON",
            field="metadata",
        )
    return value


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
    """Text from a path or query string: the parser of bodies has not checked it."""
    if contains_nul(value):
        raise RestError(Code.MALFORMED_BODY, "NUL characters are not accepted", field=field)
    return value
