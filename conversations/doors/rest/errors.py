"""Refusals of `/api/v1`: the business codes and the one handler that renders them."""

from __future__ import annotations

import logging
import math
from enum import IntEnum
from typing import Any

import redis.exceptions
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.http.request import UnreadablePostError
from rest_framework import exceptions, status
from rest_framework.response import Response

from conversations import errors as conversation_errors
from scheduling import errors as scheduling_errors

logger = logging.getLogger(__name__)

RETRY_OUTAGE_SECONDS = 5


class Code(IntEnum):
    """A business code; each has its usual HTTP status and a sentence for people."""

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
    CONFIGURATION_ERROR = 2005, 500, "The server is not configured for this"


class ApiError(Exception):
    """A refusal with its business code.

    Attributes:
        reason: what is wrong and what would be right, for the client's developer.
        field: the input it is about, for example `messages[3].content`; empty when none.
        http_status: other than the code's usual one.
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

    def within(self, prefix: str) -> ApiError:
        """The same refusal about a part of a larger input."""
        field = f"{prefix}.{self.field}" if self.field else prefix
        return ApiError(self.code, self.reason, field=field, http_status=self.http_status)


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: whatever happened, an envelope and never a stack trace."""
    refusal = translate(error)
    if refusal.http_status >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        view = type(context.get("view")).__name__
        expected = refusal.http_status == status.HTTP_503_SERVICE_UNAVAILABLE
        logger.log(
            logging.WARNING if expected else logging.ERROR,
            "%s: %s",
            view,
            error,
            exc_info=None if expected else error,
        )
    return render(refusal, challenge=refusal.code is Code.UNAUTHENTICATED)


def render(refusal: ApiError, *, challenge: bool = False) -> Response:
    from conversations.doors.rest.envelope import timestamp

    headers = {"WWW-Authenticate": "Bearer"} if challenge else {}
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after_seconds)))
    body = {
        "code": int(refusal.code),
        "message": refusal.code.sentence,
        "error": refusal.code.name.lower(),
        "details": {"field": refusal.field or None, "reason": refusal.reason},
        "timestamp": timestamp(),
    }
    return Response(body, status=refusal.http_status, headers=headers)


def translate(error: Exception) -> ApiError:
    """The refusal that an exception means at this door."""
    for known in (
        _ours,
        _of_conversations,
        _of_scheduling,
        _of_the_framework,
        _of_the_client,
        _of_the_servers,
    ):
        if refusal := known(error):
            return refusal
    return ApiError(Code.SCHEDULER_ERROR, "an internal error; the log has it with the request id")


def _ours(error: Exception) -> ApiError | None:
    return error if isinstance(error, ApiError) else None


def _of_conversations(error: Exception) -> ApiError | None:
    if not isinstance(error, conversation_errors.ConversationsError):
        return None
    code, field = {
        conversation_errors.ConversationNotFound: (Code.CONVERSATION_NOT_FOUND, "conversation_id"),
        conversation_errors.ConversationClosed: (Code.CONFLICT, "state"),
        conversation_errors.ContextTooLong: (Code.CONTENT_TOO_LONG, "conversation_id"),
        conversation_errors.ConversationBusy: (Code.CONFLICT, "state"),
        conversation_errors.UserMismatch: (Code.INVALID_USER_ID, "user_id"),
        conversation_errors.UserForbidden: (Code.FORBIDDEN, "user_id"),
        conversation_errors.NoModel: (Code.QUEUE_UNAVAILABLE, "model"),
    }[type(error)]
    outage = RETRY_OUTAGE_SECONDS if code is Code.QUEUE_UNAVAILABLE else None
    refusal = ApiError(code, str(error), field=field, retry_after_seconds=outage)
    return refusal if error.index is None else refusal.within(f"messages[{error.index}]")


def _of_scheduling(error: Exception) -> ApiError | None:
    match error:
        case scheduling_errors.QueueFull():
            return ApiError(
                Code.QUEUE_FULL, str(error), retry_after_seconds=error.retry_after_seconds
            )
        case scheduling_errors.Maintenance():
            return ApiError(
                Code.MAINTENANCE, str(error), retry_after_seconds=error.retry_after_seconds
            )
        case scheduling_errors.UnknownModel():
            return ApiError(Code.MALFORMED_BODY, str(error), field="model")
        case scheduling_errors.JobNotFound():
            return ApiError(Code.MESSAGE_NOT_FOUND)
        case scheduling_errors.IllegalTransition():
            return ApiError(Code.CONFLICT, str(error), field="status")
        case scheduling_errors.SchedulingError():
            return ApiError(Code.SCHEDULER_ERROR, str(error))
    return None


def _of_the_framework(error: Exception) -> ApiError | None:
    match error:
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return ApiError(Code.UNAUTHENTICATED, str(error.detail))
        case exceptions.PermissionDenied():
            return ApiError(Code.FORBIDDEN, str(error.detail))
        case PermissionDenied():
            return ApiError(Code.FORBIDDEN)
        case exceptions.NotFound() | Http404():
            return ApiError(Code.NOT_FOUND)
        case exceptions.MethodNotAllowed():
            return ApiError(Code.METHOD_NOT_ALLOWED, str(error.detail))
        case exceptions.Throttled():
            return ApiError(Code.RATE_LIMITED, retry_after_seconds=getattr(error, "wait", None))
        case exceptions.APIException() if error.status_code < 500:
            return ApiError(Code.MALFORMED_BODY, str(error.detail), http_status=error.status_code)
    return None


def _of_the_client(error: Exception) -> ApiError | None:
    match error:
        case RequestDataTooBig():
            return ApiError(Code.BODY_TOO_LARGE)
        case UnreadablePostError():
            return ApiError(Code.MALFORMED_BODY, "the body broke off")
        case DataError():
            return ApiError(Code.MALFORMED_BODY, "a value is out of range")
    return None


def _of_the_servers(error: Exception) -> ApiError | None:
    match error:
        case OperationalError() | InterfaceError():
            return ApiError(Code.DATABASE_DOWN, retry_after_seconds=RETRY_OUTAGE_SECONDS)
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            return ApiError(Code.REDIS_DOWN, retry_after_seconds=RETRY_OUTAGE_SECONDS)
        case ImproperlyConfigured():
            return ApiError(Code.CONFIGURATION_ERROR)
    return None
