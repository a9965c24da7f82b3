"""What does a refusal say, before a door puts it into the words of its API?"""

from __future__ import annotations

import math
from typing import Any, Protocol


class Refusal(Exception):
    """A refusal of no API in particular.

    Args:
        status: HTTP status.
        code: what is wrong, in one word for programs.
        message: what is wrong, for people.
        param: the offending field, when one is.
        retry_after_seconds: when to try again; None forbids SDKs to retry.
        upstream: the endpoint's own error object in OpenAI's shape, JSON text; or empty.
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
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.upstream = upstream

    @property
    def headers(self) -> list[tuple[str, str]]:
        """When to try again, as the SDKs of OpenAI and Anthropic read it."""
        if self.retry_after_seconds is None:
            return [("x-should-retry", "false")]
        seconds = self.retry_after_seconds
        return [
            ("retry-after", str(max(1, math.ceil(seconds)))),
            ("retry-after-ms", str(max(1, round(seconds * 1000)))),
        ]


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
        return Refusal(end["http_status"], code, message, upstream=end.get("upstream") or "")
    if status == "timeout":
        return Refusal(408, code, message)
    if status == "cancelled":
        return Refusal(409, code, message)
    return Refusal(502, code, message)
