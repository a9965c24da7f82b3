"""When an endpoint refuses a call: is the request at fault, or the endpoint?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from balancing.errors import CallError, Refused, Unavailable
from balancing.kinds.contract import EndpointKind
from balancing.kinds.shape import error as error_body

LARGEST_REFUSAL = 64 * 1024
SHORTEST_SECRET = 8
# These concern the endpoint (its credential, its models), not the client's request.
_ENDPOINT_FAULTS = frozenset({401, 402, 403, 404, 407, 408, 425, 429})
# Fields of answers, streamed or whole, of all kinds of endpoints; fields of foreign errors.
_ANSWERS = ("data", "usage", "candidates", "embeddings", "content", "delta")
_FOREIGN_ERRORS = (
    "detail",
    "details",
    "base_resp",
    "errors",
    "message",
    "msg",
    "error_msg",
    "fault",
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer other than 200; `retry_after` is the header of that name."""

    status: int
    text: str
    retry_after: str = ""


def error_of(refusal: Refusal, kind: EndpointKind, credential: str = "") -> CallError:
    """The error to raise. Its texts never hold the credential, even if the server repeats it."""
    status = refusal.status
    parsed, body = _parsed(refusal.text, credential)
    message = _message(status, parsed)
    is_ours = 400 <= status < 500 and status not in _ENDPOINT_FAULTS
    if is_ours and not kind.blames_endpoint(status, parsed):
        if body and not kind.passes_through:
            body = error_body(message, error_type="invalid_request_error")
        return Refused("refused", message, status=status, body=body)
    seconds = _retry_after(refusal.retry_after) or kind.retry_after_seconds(parsed)
    return Unavailable(f"http_{status}", message, status=status, retry_after_seconds=seconds)


def is_error(found: Any) -> bool:
    """Whether an object inside a 200 tells a failure, in OpenAI's shape or in a foreign one.

    A foreign one holds no answer: `{"object": "error", ...}`, `{"detail": ...}`, MiniMax's
    `base_resp`, `{"success": false}`, `{"code": ..., "msg": ...}`.
    """
    if not isinstance(found, dict):
        return False
    if found.get("error"):
        return True
    if found.get("choices") or any(found.get(name) for name in _ANSWERS):
        return False
    if "error" in (found.get("object"), found.get("type")) or found.get("success") is False:
        return True
    return any(found.get(name) for name in _FOREIGN_ERRORS)


def error_inside(found: Any, text: str) -> CallError:
    """The error to raise for an error object inside an answer that began well (200)."""
    return Unavailable("endpoint_error", message_of(found), body=text)


def message_of(parsed: Any) -> str:
    """The text of an endpoint's error object; empty without one."""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return text[:1000] if isinstance(text, str) else ""


def _parsed(text: str, credential: str) -> tuple[Any, str]:
    """The body as an object and as text, without the credential; empty if it is not JSON."""
    try:
        # Written again on one line, because it may become a server-sent event.
        body = _without(orjson.dumps(orjson.loads(text)).decode(), credential)
        return orjson.loads(body), body
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return {}, ""


def _message(status: int, parsed: Any) -> str:
    if 300 <= status < 400:
        return f"the endpoint redirects ({status}); give it the base URL that it moved to"
    return message_of(parsed) or f"the endpoint answered {status}"


def _without(text: str, credential: str) -> str:
    """JSON text in which stars replace the credential; a very short one is not a secret."""
    if len(credential) < SHORTEST_SECRET:
        return text
    return text.replace(orjson.dumps(credential).decode()[1:-1], "***")


def _retry_after(value: str) -> float:
    """Seconds to wait; the header holds seconds or a date."""
    if value.isascii() and value.isdigit():
        return min(float(value), 3600.0)
    try:
        at = datetime.strptime(value, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return 0.0
    return max(0.0, min(at.timestamp() - time.time(), 3600.0))
