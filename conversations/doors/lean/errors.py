"""What the OpenAI door answers when it refuses: OpenAI's error object."""

from __future__ import annotations

import math
from typing import Any

import orjson


class ApiError(Exception):
    """A refusal, ready to be sent.

    Args:
        status: HTTP status.
        code: OpenAI's `error.code`.
        param: the offending field, when one is.
        retry_after_seconds: when to try again; None forbids SDKs to retry.
        raw: an upstream error object to pass on instead, as JSON text.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_seconds: float | None = None,
        raw: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_seconds = retry_after_seconds
        self.raw = raw

    @property
    def kind(self) -> str:
        if self.status == 401:
            return "authentication_error"
        if self.status == 403:
            return "permission_error"
        if self.status == 429:
            return "rate_limit_error"
        return (
            "invalid_request_error" if self.status < 500 and self.status != 408 else "server_error"
        )

    def body(self) -> bytes:
        if self.raw:
            return self.raw.encode()
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        return orjson.dumps({"error": error})

    def headers(self) -> list[tuple[str, str]]:
        if self.retry_after_seconds is None:
            return [("x-should-retry", "false")]
        seconds = self.retry_after_seconds
        return [
            ("retry-after", str(max(1, math.ceil(seconds)))),
            ("retry-after-ms", str(max(1, round(seconds * 1000)))),
        ]


def invalid(message: str, *, param: str | None = None, code: str = "invalid_value") -> ApiError:
    return ApiError(400, code, message, param=param)


def of_end(end: dict[str, Any]) -> ApiError:
    """The refusal that a job's failed end amounts to (the data of its final entry)."""
    status, code = end.get("status"), end.get("code") or "failed"
    message = end.get("message") or f"the request {status}"
    if end.get("http_status"):
        return ApiError(end["http_status"], code, message, raw=end.get("upstream") or "")
    if status == "timeout":
        return ApiError(408, code, message)
    if status == "cancelled":
        return ApiError(409, code, message)
    return ApiError(502, code, message)
