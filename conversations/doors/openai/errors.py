"""OpenAI's error object."""

from __future__ import annotations

import orjson

from conversations.doors.lean import sse
from conversations.doors.lean.refusals import Refusal

# Others are `invalid_request_error` below 500, and `server_error` from there on.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    408: "server_error",
    429: "rate_limit_error",
}


class OpenAIErrors:
    """The `ErrorFormat` of `/v1`."""

    def body(self, refusal: Refusal) -> bytes:
        if refusal.upstream:
            return refusal.upstream.encode()
        error = {
            "message": refusal.message,
            "type": error_type(refusal.status),
            "param": refusal.param,
            "code": refusal.code,
        }
        return orjson.dumps({"error": error})

    def event(self, refusal: Refusal) -> bytes:
        return sse.event(self.body(refusal).decode())


def error_type(status: int) -> str:
    """OpenAI's `error.type`."""
    return _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
