"""How does the project log? One line an event, with the id of the request that caused it."""

from __future__ import annotations

import inspect
import logging
import logging.config
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

# Local variables hold keys and passwords: a traceback names places, not values.
_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=20)
)
# Lowest levels of loggers that tell of each request, task or reconnection.
QUIETER = {
    "django.server": "WARNING",
    "psycopg.pool": "ERROR",
    "celery.worker.strategy": "WARNING",
    "celery.app.trace": "WARNING",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._\-]{1,64}")


def configure(*, format: str, level: str) -> None:  # noqa: A002 - the word operators use
    """Send the standard library's and structlog's records through one formatter to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(format),
        ],
        "foreign_pre_chain": shared,
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"llmqueue": formatter},
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "llmqueue"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {name: {"level": least} for name, least in QUIETER.items()},
        }
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        cache_logger_on_first_use=True,
    )


def _renderers(format: str) -> list[Any]:  # noqa: A002 - the word operators use
    if format == "json":
        return [_tracebacks, structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)]


def request_id(presented: str | None) -> str:
    """The client's own request id when it is short and plain, else a new one."""
    if presented and _REQUEST_ID.fullmatch(presented):
        return presented
    return uuid4().hex


@sync_and_async_middleware
def RequestIdMiddleware(  # noqa: N802 - Django names middleware like classes
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], Any]:
    """Bind `request_id` to the log context and return it as `X-Request-ID`."""

    def begin(request: HttpRequest) -> str:
        identifier = request_id(request.headers.get("X-Request-ID"))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=identifier)
        request.META["llmqueue.request_id"] = identifier
        return identifier

    if inspect.iscoroutinefunction(get_response):

        async def serve_async(request: HttpRequest) -> HttpResponse:
            identifier = begin(request)
            response: HttpResponse = await get_response(request)
            response["X-Request-ID"] = identifier
            return response

        return serve_async

    def serve(request: HttpRequest) -> HttpResponse:
        identifier = begin(request)
        response: HttpResponse = get_response(request)
        response["X-Request-ID"] = identifier
        return response

    return serve
