"""Can this web process do its work: do its servers answer, and is the schema there?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
import psycopg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from conversations.doors.lean.leaving import Leaving
from scheduling import job_state
from stores.postgres import Database

log = structlog.get_logger(__name__)
READY_SECONDS = 1.0
PATIENCE_SECONDS = 1.5
LEAVING = b'{"status":"shutting_down"}'
DOWN = (psycopg.Error, RedisError, TimeoutError, OSError)


class Readiness:
    """Whether the servers of a process answer. They are asked at most once a second.

    Args:
        leaving: a process that leaves is not ready, whatever its servers say.
        set_aside: how many rows cannot be used, by what they are. They are told, and change
            nothing: everything else is served.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        database: Database,
        valkey: Redis,
        leaving: Leaving,
        set_aside: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._leaving = leaving
        self._set_aside = set_aside
        self._postgres = _Probe("postgresql", lambda: job_state.check_schema(database))
        self._valkey = _Probe("valkey", lambda: valkey.ping())
        self._clock = clock
        self._until = float("-inf")
        self._answer = (503, b"")
        self._probing = asyncio.Lock()

    async def answer(self) -> tuple[int, bytes]:
        """HTTP status and JSON body."""
        if self._leaving.begun:
            return 503, LEAVING
        async with self._probing:
            if self._clock() >= self._until:
                self._answer = await self._components()
                self._until = self._clock() + READY_SECONDS
        return self._answer

    async def _components(self) -> tuple[int, bytes]:
        postgresql, valkey = await asyncio.gather(self._postgres.ask(), self._valkey.ask())
        components = {"postgresql": postgresql, "valkey": valkey}
        ready = all(component["status"] == "ok" for component in components.values())
        body: dict[str, Any] = {"status": "ready" if ready else "unavailable"}
        body["components"] = components
        if unusable := self._set_aside():
            body["set_aside"] = unusable
        return 200 if ready else 503, orjson.dumps(body)


class _Probe:
    """Asks one server; a question that it has not answered yet is not asked again beside it."""

    def __init__(self, name: str, check: Callable[[], Awaitable[Any]]) -> None:
        self._name = name
        self._check = check
        self._asking: asyncio.Future[Any] | None = None

    async def ask(self) -> dict[str, Any]:
        """`ok` or `down`, within `PATIENCE_SECONDS`.

        A question that takes longer is left to itself: to cancel it, its client would wait for
        the silent server again.
        """
        began = time.perf_counter()
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._check())
        await asyncio.wait([self._asking], timeout=PATIENCE_SECONDS)
        error = self._asking.exception() if self._asking.done() else TimeoutError("no answer yet")
        if error is not None and not isinstance(error, DOWN):
            raise error
        if error is not None:
            log.info("health.failed", check=self._name, error=str(error))
        milliseconds = round((time.perf_counter() - began) * 1000, 2)
        return {"status": "down" if error else "ok", "response_ms": milliseconds}
