"""Which refusal does an exception amount to on `/api/v1`, and how is it rendered?"""

from __future__ import annotations

import logging
import math
from typing import Any

import redis.exceptions
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, RequestDataTooBig
from django.db import DataError, InterfaceError, OperationalError
from django.http import Http404
from django.http.request import UnreadablePostError
from psycopg_pool import PoolTimeout, TooManyRequests
from rest_framework import exceptions, status
from rest_framework.response import Response

from conversations import errors as conversation_errors
from conversations.doors.rest.protocol.envelope import timestamp
from conversations.doors.rest.protocol.refusals import Code, RestError
from scheduling import errors as scheduling_errors
from stores.memory import remembered
from stores.reachability import Reachability

logger = logging.getLogger(__name__)

RETRY_OUTAGE_SECONDS = 5
_LONGEST_SHOWN = 1000
# SQLSTATEs: deadlocks and lost races; all connections, or a lock, in use; a statement's time is up.
_BUSY = ("40", "53300", "55P03", "57014")


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """DRF's exception handler: whatever happened, the answer is an envelope, not a traceback."""
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


def render(refusal: RestError, *, challenge: bool = False) -> Response:
    headers = {"WWW-Authenticate": "Bearer"} if challenge else {}
    if refusal.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after_seconds)))
    return Response(document(refusal), status=refusal.http_status, headers=headers)


def document(refusal: RestError) -> dict[str, Any]:
    """The body of an answer that is a refusal."""
    return {
        "code": int(refusal.code),
        "message": refusal.code.sentence,
        "error": refusal.code.name.lower(),
        "details": {"field": _shown(refusal.field) or None, "reason": _shown(refusal.reason)},
        "timestamp": timestamp(),
    }


def _shown(text: str) -> str:
    """Text that may quote what a client sent: of bounded length, and possible in UTF-8."""
    return text[:_LONGEST_SHOWN].encode(errors="backslashreplace").decode()


def translate(error: Exception) -> RestError:
    """The refusal that an exception amounts to."""
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
    return RestError(Code.SCHEDULER_ERROR, "an internal error: the log has the request id")


def _ours(error: Exception) -> RestError | None:
    return error if isinstance(error, RestError) else None


def _of_conversations(error: Exception) -> RestError | None:
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
    refusal = RestError(code, str(error), field=field, retry_after_seconds=outage)
    return refusal if error.index is None else refusal.within(f"messages[{error.index}]")


def _of_scheduling(error: Exception) -> RestError | None:
    match error:
        case scheduling_errors.QueueFull():
            return RestError(
                Code.QUEUE_FULL, str(error), retry_after_seconds=error.retry_after_seconds
            )
        case scheduling_errors.Maintenance():
            return RestError(
                Code.MAINTENANCE, str(error), retry_after_seconds=error.retry_after_seconds
            )
        case scheduling_errors.UnknownModel():
            return RestError(Code.MALFORMED_BODY, str(error), field="model")
        case scheduling_errors.JobNotFound():
            return RestError(Code.MESSAGE_NOT_FOUND)
        case scheduling_errors.IllegalTransition():
            return RestError(Code.CONFLICT, str(error), field="status")
        case scheduling_errors.SchedulingError():
            return RestError(Code.SCHEDULER_ERROR, str(error))
    return None


def _of_the_framework(error: Exception) -> RestError | None:
    match error:
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return RestError(Code.UNAUTHENTICATED, str(error.detail))
        case exceptions.PermissionDenied():
            return RestError(Code.FORBIDDEN, str(error.detail))
        case PermissionDenied():
            return RestError(Code.FORBIDDEN)
        case exceptions.NotFound() | Http404():
            return RestError(Code.NOT_FOUND)
        case exceptions.MethodNotAllowed():
            return RestError(Code.METHOD_NOT_ALLOWED, str(error.detail))
        case exceptions.Throttled():
            return RestError(Code.RATE_LIMITED, retry_after_seconds=getattr(error, "wait", None))
        case exceptions.APIException() if error.status_code < 500:
            return RestError(Code.MALFORMED_BODY, str(error.detail), http_status=error.status_code)
    return None


def _of_the_client(error: Exception) -> RestError | None:
    match error:
        case RequestDataTooBig():
            return RestError(Code.BODY_TOO_LARGE)
        case UnreadablePostError():
            return RestError(Code.MALFORMED_BODY, "the connection broke before the end of the body")
        case DataError():
            return RestError(Code.MALFORMED_BODY, "a value is out of range")
    return None


def _of_the_servers(error: Exception) -> RestError | None:
    match error:
        case OperationalError() | InterfaceError():
            code = Code.OVERLOADED if _is_overload(error) else Code.DATABASE_DOWN
            return RestError(code, retry_after_seconds=RETRY_OUTAGE_SECONDS)
        case redis.exceptions.ConnectionError() | redis.exceptions.TimeoutError():
            return RestError(Code.REDIS_DOWN, retry_after_seconds=RETRY_OUTAGE_SECONDS)
        case ImproperlyConfigured():
            return RestError(Code.CONFIGURATION_ERROR)
    return None


def _is_overload(error: Exception) -> bool:
    """Whether the database is well, and only had no connection or no time for this request."""
    cause = error.__cause__
    if isinstance(cause, (PoolTimeout, TooManyRequests)):
        full = remembered(Reachability).database_answers()
        if full:
            logger.warning("no database connection came free: see web.database_pool_size")
        return full
    sqlstate = getattr(cause, "sqlstate", None) or ""
    return sqlstate.startswith(_BUSY)
