"""`/health`: whether this process is alive; `/health/ready`: whether it can serve."""

from __future__ import annotations

import orjson

from conversations.doors.lean.backend import Backend
from conversations.doors.lean.refusals import ErrorFormat
from conversations.doors.lean.routes import Door, Route
from conversations.doors.lean.wire import Exchange


def door(errors: ErrorFormat) -> Door:
    """Health has no API of its own, and takes the error format of another."""
    routes = (Route("GET", "/health", _alive), Route("GET", "/health/ready", _ready))
    return Door(routes, errors, prefixes=("/health",))


async def _alive(_backend: Backend, exchange: Exchange) -> None:
    await exchange.answer(200, orjson.dumps({"status": "ok"}))


async def _ready(backend: Backend, exchange: Exchange) -> None:
    await exchange.answer(*await backend.readiness.answer())
