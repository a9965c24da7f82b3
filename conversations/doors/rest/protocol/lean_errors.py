"""How does `/api/v1` write a refusal of the lean application? In its envelope, as elsewhere."""

from __future__ import annotations

import orjson

from conversations.doors.lean import sse
from conversations.doors.lean.refusals import Refusal
from conversations.doors.rest.protocol import errors
from conversations.doors.rest.protocol.refusals import Code, RestError

_BY_CODE = {
    "message_not_found": Code.MESSAGE_NOT_FOUND,
    "queue_full": Code.QUEUE_FULL,
    "maintenance": Code.MAINTENANCE,
    "overloaded": Code.OVERLOADED,
    "shutting_down": Code.SHUTTING_DOWN,
}
_BY_STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    408: Code.TIMED_OUT,
    409: Code.CONFLICT,
    413: Code.BODY_TOO_LARGE,
    429: Code.RATE_LIMITED,
    503: Code.QUEUE_UNAVAILABLE,
}


class RestErrors:
    """The `ErrorFormat` of `/api/v1`."""

    def body(self, refusal: Refusal) -> bytes:
        shown = RestError(_code(refusal), refusal.message, field=refusal.param or "")
        return orjson.dumps(errors.document(shown))

    def event(self, refusal: Refusal) -> bytes:
        return sse.event(self.body(refusal).decode(), name="error")


def _code(refusal: Refusal) -> Code:
    other = Code.MALFORMED_BODY if refusal.status < 500 else Code.SCHEDULER_ERROR
    return _BY_CODE.get(refusal.code) or _BY_STATUS.get(refusal.status, other)
