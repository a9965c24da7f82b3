"""What does an endpoint's refusal become: the client's error, a moment's wait, or a failure?

`balancing/faults.py` has the table that decides; here the refusal is read, and its error is built.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from balancing.calls import tolerant
from balancing.calls.waits import told_seconds
from balancing.errors import QUOTA_SECONDS, Broken, Busy, CallError, Exhausted, Refused, Unavailable
from balancing.faults import Evidence, Fault, fault_of
from balancing.kinds.error_codes import codes_of, status_of
from balancing.kinds.error_object import (
    cleaned,
    error_object,
    text_of,
    text_of_page,
    text_of_torn,
    without_secrets,
)
from balancing.kinds.said import WITH_CALLS

LARGEST_REFUSAL = 64 * 1024
# What a provider adds to its message is told up to this size; all of it is searched for secrets.
LARGEST_TOLD = 8 * 1024
LONGEST_REASON = 40
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
    """An HTTP answer other than 200.

    Attributes:
        headers: with names in lower case.
        host: the host that answered, without a port.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    host: str = ""


def error_of(refusal: Refusal, credential: str = "", *, sent: str = "") -> CallError:
    """The error to raise. Its texts never hold the credential, even if the server repeats it.

    Args:
        sent: the body of the request.
    """
    found, text = _parsed(refusal.text)
    message = _message(refusal.status, text)
    error = _Report(refusal.status, found, message, refusal.headers, sent).error()
    return discreet(error, (credential,), refusal.host)


def error_inside(found: Any, sent: str = "") -> CallError:
    """The error to raise for an error object inside an answer that began well (200).

    Args:
        sent: the body of the request.
    """
    try:
        # It may be nested deeper than JSON is written, and hold halves of characters.
        found = orjson.loads(tolerant.write(found))
    except (TypeError, RecursionError):
        found = None
    message = text_of(found) or "the endpoint reports an error without a text"
    return discreet(_Report(0, found, message, {}, sent).error())


def failure_of(choice: dict[str, Any]) -> CallError:
    """The error to raise for a choice that reports a failure."""
    if choice.get("error"):
        return error_inside({"error": choice["error"]}, "")
    reason = str(choice.get("finish_reason"))[:LONGEST_REASON]
    if reason in WITH_CALLS:
        return Broken("empty_answer", f"the answer ended with {reason!r}, and holds no call")
    return Unavailable("endpoint_error", f"the answer ended with the finish reason {reason!r}")


def discreet(error: CallError, secrets: Collection[str] = (), host: str = "") -> CallError:
    """The same error: its text without secrets, its body also without addresses.

    The text is for operators, who must see where it happened. The body is for the client.
    """
    error.args = (without_secrets(str(error), secrets),)
    error.body = cleaned(error.body, secrets, host)
    return error


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


@dataclass(frozen=True, slots=True)
class _Report:
    """A refusal that has been read; `status` is 0 for an error inside an answer."""

    status: int
    found: Any
    message: str
    headers: Mapping[str, str]
    sent: str

    def error(self) -> CallError:
        text, status = self.message.lower(), status_of(self.status, self.found)
        wait = told_seconds(self.headers, self.found, text, status=status)
        fault = fault_of(Evidence(status, codes_of(self.found), text, wait, self.sent))
        if fault is Fault.CLIENT:
            return self._refused(status)
        code = f"http_{status}" if status else "endpoint_error"
        kind, least = {
            Fault.BUSY: (Busy, 0.0),
            Fault.QUOTA: (Exhausted, QUOTA_SECONDS),
            Fault.ENDPOINT: (Unavailable, 0.0),
        }[fault]
        return kind(code, self.message, status=status, retry_after_seconds=wait or least)

    def _refused(self, status: int) -> Refused:
        """A client's error is told with a client's status, whatever the endpoint's was."""
        told = status if 400 <= status < 500 and status not in (401, 402, 407, 408, 429) else 400
        body = orjson.dumps(error_object(self.found, self.message, status=told)).decode()
        if len(body) > LARGEST_TOLD:
            body = orjson.dumps(error_object(None, self.message, status=told)).decode()
        return Refused("refused", self.message, status=told, body=body)


def _parsed(text: str) -> tuple[Any, str]:
    """The body as an object, and its text; an object that cannot be written again is none."""
    try:
        found = tolerant.whole(tolerant.read(text.encode("utf-8", "replace")))
        orjson.dumps(found)
    except (ValueError, TypeError, RecursionError):
        return None, text_of_page(text) or text_of_torn(text)
    return found, text_of(found)


def _message(status: int, text: str) -> str:
    if 300 <= status < 400:
        return f"the endpoint redirects ({status}); give it the base URL that it moved to"
    return text or f"the endpoint answered {status}"
