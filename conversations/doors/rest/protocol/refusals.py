"""What does a refusal of `/api/v1` say? A business code, a reason, and the field it is about."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """A business code, with its usual HTTP status and a sentence for people."""

    http_status: int
    sentence: str

    def __new__(cls, value: int, http_status: int, sentence: str) -> Code:
        member = int.__new__(cls, value)
        member._value_ = value
        member.http_status = http_status
        member.sentence = sentence
        return member

    EMPTY_CONTENT = 1001, 400, "The message is empty"
    CONTENT_TOO_LONG = 1002, 400, "The message is too long"
    INVALID_PRIORITY = 1003, 400, "There is no such priority"
    MESSAGE_NOT_FOUND = 1004, 404, "There is no such message"
    CONVERSATION_NOT_FOUND = 1005, 404, "There is no such conversation"
    INVALID_USER_ID = 1006, 400, "The user id is not valid"
    QUEUE_FULL = 1007, 503, "The queue is full"
    MAINTENANCE = 1008, 503, "Intake is paused for maintenance"
    RATE_LIMITED = 1009, 429, "Too many requests"
    TIMED_OUT = 1010, 408, "The request timed out"
    UNAUTHENTICATED = 1011, 401, "A valid API key is required"
    FORBIDDEN = 1012, 403, "This API key may not do that"
    CONFLICT = 1013, 409, "The present state does not allow that"
    MALFORMED_BODY = 1014, 400, "The request is malformed"
    BODY_TOO_LARGE = 1015, 413, "The body is too large"
    NOT_FOUND = 1016, 404, "There is no such resource"
    METHOD_NOT_ALLOWED = 1017, 405, "The resource does not take this method"
    DATABASE_DOWN = 2001, 503, "The database is not reachable"
    REDIS_DOWN = 2002, 503, "Redis is not reachable"
    QUEUE_UNAVAILABLE = 2003, 503, "The queue is not available"
    SCHEDULER_ERROR = 2004, 500, "The request could not be served"
    OVERLOADED = 2006, 503, "Too much is asked of this server at once"
    SHUTTING_DOWN = 2007, 503, "This server is shutting down"
    CONFIGURATION_ERROR = 2005, 500, "The server is not configured for this"


class RestError(Exception):
    """A refusal with its business code.

    Attributes:
        reason: what is wrong, or what would be right, for the client's developer.
        field: the input that it is about, for example `messages[3].content`; or empty.
        http_status: the code's usual status, or another.
    """

    def __init__(
        self,
        code: Code,
        reason: str = "",
        *,
        field: str = "",
        http_status: int | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(reason or code.sentence)
        self.code = code
        self.reason = reason or code.sentence
        self.field = field
        self.http_status = http_status or code.http_status
        self.retry_after_seconds = retry_after_seconds

    def within(self, prefix: str) -> RestError:
        """The same refusal about a part of a larger input."""
        field = f"{prefix}.{self.field}" if self.field else prefix
        return RestError(self.code, self.reason, field=field, http_status=self.http_status)
