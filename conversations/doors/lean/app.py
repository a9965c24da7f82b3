"""The lean ASGI application: it holds thousands of connections open, beside Django."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import psycopg
import structlog
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from conversations.doors.lean.backend import Backend
from conversations.doors.lean.leaving import Leaving
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.routes import Door, Routes
from conversations.doors.lean.wire import Exchange, HungUp, Receive, Scope, Send
from stores.memory import Memory
from stores.reachability import Reachability

log = structlog.get_logger(__name__)


class LeanApplication:
    """Serves the routes of its doors.

    Args:
        memory: the web process's.
        doors: the first one refuses paths that belong to no door.
    """

    def __init__(self, memory: Memory, doors: Sequence[Door]) -> None:
        self._memory = memory
        self._leaving = memory.of(Leaving)
        self._routes = Routes(doors)
        self._backend: Backend | None = None
        self._opening = asyncio.Lock()

    def serves(self, path: str) -> bool:
        return self._routes.serves(path)

    async def open(self) -> None:
        await self._opened()

    async def close(self) -> None:
        if self._backend is not None:
            await self._backend.close()
            self._backend = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        found, parameters = self._routes.find(path)
        exchange = Exchange(
            scope,
            receive,
            send,
            errors=found.errors,
            parameters=parameters,
            label=found.label,
            leaving=self._leaving,
        )
        try:
            backend = self._backend or await self._opened()
            await found.handler(scope["method"], path)(backend, exchange)
        except HungUp:
            return
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except (psycopg.OperationalError, RedisError) as error:
            log.warning("door.unavailable", path=path, error=str(error))
            await exchange.refuse(await self._unavailable(error))
        except Exception:
            log.exception("door.failed", path=path)
            await exchange.refuse(Refusal(500, "internal_error", "something went wrong here"))

    async def _unavailable(self, error: Exception) -> Refusal:
        """A server is away; or it is well, and all connections to it are in use."""
        code, message = "unavailable", "a server behind this one is away; try again"
        answers = self._memory.of(Reachability).database_answers
        if isinstance(error, PoolTimeout) and await asyncio.to_thread(answers):
            code, message = "overloaded", "too much is asked of this server at once; try again"
        return Refusal(503, code, message, retry_after_seconds=2.0)

    async def _opened(self) -> Backend:
        async with self._opening:
            if self._backend is None:
                backend = Backend(self._memory)
                await backend.open()
                self._backend = backend
            return self._backend
