"""What does a refusal say, before a door puts it into the words of its API?"""

from __future__ import annotations

import math
from typing import Any, Protocol

# Ends that a repetition may cure. Not among them: 408 (the deadline is spent), 409 (cancelled, or
# a conflict), and what the client must change. SDKs would repeat 408 and 409 by themselves.
TRANSIENT = frozenset({429, 500, 502, 503, 504})
# OpenAI's and Anthropic's SDKs wait at most so long. Told a longer wait, most versions ignore it
# and come back after half a second.
LONGEST_SDK_WAIT_SECONDS = 60.0
# Every endpoint has failed, one after the other: a moment's pause helps more than half a second.
FAILED_SECONDS = 2.0


class Refusal(Exception):
    """A refusal of no API in particular.

    Args:
        status: HTTP status.
        code: what is wrong, in one word for programs.
        message: what is wrong, for people.
        param: the offending field, when one is.
        retry_after_seconds: when to try again; None where nothing says when.
        upstream: the endpoint's own error object in OpenAI's shape, JSON text; or empty.
        is_final: whether the same request would fail again, whatever the status says.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        upstream: str = "",
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.upstream = upstream
        self.is_final = is_final

    @property
    def may_be_repeated(self) -> bool:
        """Whether the same request, sent again by an SDK, may be answered."""
        wait = self.retry_after_seconds or 0.0
        is_near = wait <= LONGEST_SDK_WAIT_SECONDS
        return self.status in TRANSIENT and is_near and not self.is_final

    @property
    def headers(self) -> list[tuple[str, str]]:
        """When to try again, and whether, as the SDKs of OpenAI and Anthropic read it."""
        seconds, found = self.retry_after_seconds, []
        if seconds is not None:
            found.append(("retry-after", str(max(1, math.ceil(seconds)))))
        if not self.may_be_repeated:
            return [*found, ("x-should-retry", "false")]
        if seconds is not None:
            found.append(("retry-after-ms", str(max(1, round(seconds * 1000)))))
        return found


class ErrorFormat(Protocol):
    """How an API writes a refusal."""

    def body(self, refusal: Refusal) -> bytes:
        """The body of an answer that is a refusal."""

    def event(self, refusal: Refusal) -> bytes:
        """The last event of a stream that fails after it has begun."""


def invalid(message: str, *, param: str | None = None, code: str = "invalid_value") -> Refusal:
    return Refusal(400, code, message, param=param)


def of_end(end: dict[str, Any]) -> Refusal:
    """The refusal that a job's failed end amounts to (the data of its final entry)."""
    status, code = end.get("status"), end.get("code") or "failed"
    message = end.get("message") or f"the request {status}"
    if end.get("http_status"):
        return Refusal(
            end["http_status"],
            code,
            message,
            retry_after_seconds=end.get("retry_after_seconds"),
            upstream=end.get("upstream") or "",
        )
    if status == "timeout":
        return Refusal(408, code, message)
    if status == "cancelled":
        return Refusal(409, code, message)
    if end.get("is_final"):
        return Refusal(502, code, message, is_final=True)
    return Refusal(502, code, message, retry_after_seconds=FAILED_SECONDS)
