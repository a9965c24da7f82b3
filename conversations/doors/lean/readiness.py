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

from scheduling import job_state
from stores.postgres import Database

log = structlog.get_logger(__name__)
READY_SECONDS = 1.0
PATIENCE_SECONDS = 2.0


class Readiness:
    """Whether the servers of a process answer. They are asked at most once a second.

    Args:
        set_aside: how many rows cannot be used, by what they are. They are told, and change
            nothing: everything else is served.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        database: Database,
        valkey: Redis,
        set_aside: Callable[[], Mapping[str, int]] = dict,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._set_aside = set_aside
        self._database = database
        self._valkey = valkey
        self._clock = clock
        self._until = float("-inf")
        self._answer = (503, b"")
        self._probing = asyncio.Lock()

    async def answer(self) -> tuple[int, bytes]:
        """HTTP status and JSON body."""
        async with self._probing:
            if self._clock() >= self._until:
                self._answer = await self._components()
                self._until = self._clock() + READY_SECONDS
        return self._answer

    async def _components(self) -> tuple[int, bytes]:
        components = {
            "postgresql": await _probe(self._postgres),
            "valkey": await _probe(self._ping),
        }
        ready = all(component["status"] == "ok" for component in components.values())
        body: dict[str, Any] = {"status": "ready" if ready else "unavailable"}
        body["components"] = components
        if unusable := self._set_aside():
            body["set_aside"] = unusable
        return 200 if ready else 503, orjson.dumps(body)

    async def _postgres(self) -> None:
        await job_state.check_schema(self._database)

    async def _ping(self) -> None:
        await self._valkey.ping()


async def _probe(check: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await check()
        status = "ok"
    except (psycopg.Error, RedisError, TimeoutError, OSError) as error:
        log.info("health.failed", check=check.__qualname__, error=str(error))
        status = "down"
    return {"status": status, "response_ms": round((time.perf_counter() - began) * 1000, 2)}
