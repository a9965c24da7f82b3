"""The lean ASGI application: connections held open by the thousand, beside Django.

It serves `/v1`, the event streams of `/api/v1/messages/{id}/events`, and health.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import psycopg
import structlog
from prometheus_client import Counter
from redis.exceptions import RedisError

from conversations.doors.lean import events, wire
from conversations.doors.lean.door import Door
from conversations.doors.lean.errors import ApiError
from conversations.doors.lean.wire import HungUp, Receive, Scope, Send
from conversations.doors.openai import completions
from stores.postgres import fetch

log = structlog.get_logger(__name__)
EVENTS = re.compile(r"/api/v1/messages/([^/]+)/events/?")
STARTED_AT = time.time()
READY_SECONDS = 1.0
COUNTED = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models"})
door_requests = Counter(
    "llmqueue_door_requests", "Requests of the lean application", ["path", "status"]
)

_readiness: tuple[float, int, bytes] = (0.0, 503, b"")
_looking = asyncio.Lock()


class LeanApplication:
    """Routes by hand: five paths, and a router would cost more than the answer to some."""

    def __init__(self) -> None:
        self._door: Door | None = None
        self._opening = asyncio.Lock()

    @staticmethod
    def serves(path: str) -> bool:
        opened = path == "/v1" or path.startswith(("/v1/", "/health"))
        return opened or EVENTS.fullmatch(path) is not None

    async def open(self) -> None:
        async with self._opening:
            if self._door is None:
                door = Door()
                await door.open()
                self._door = door

    async def close(self) -> None:
        if self._door is not None:
            await self._door.close()
            self._door = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guarded = _Guarded(send, scope["path"])
        try:
            if self._door is None:
                await self.open()
            assert self._door is not None  # noqa: S101 - opened above
            await _route(self._door, scope, receive, guarded)
        except HungUp:
            return
        except ApiError as error:
            await guarded.refuse(error)
        except (psycopg.OperationalError, RedisError) as error:
            log.warning("door.unavailable", path=scope["path"], error=str(error))
            message = "a server behind this one is away; try again"
            await guarded.refuse(ApiError(503, "unavailable", message, retry_after_seconds=2.0))
        except Exception:
            log.exception("door.failed", path=scope["path"])
            await guarded.refuse(ApiError(500, "internal_error", "something went wrong here"))


class _Guarded:
    """`send`, knowing whether an answer has begun."""

    def __init__(self, send: Send, path: str) -> None:
        self._send = send
        self._path = path if path in COUNTED else "other"
        self._begun = False

    async def __call__(self, message: Any) -> None:
        if not self._begun:
            self._begun = True
            door_requests.labels(self._path, str(message["status"])).inc()
        await self._send(message)

    async def refuse(self, error: ApiError) -> None:
        if self._begun:
            # The stream is already under way: say it there, then end it.
            body = b"data: " + error.body() + b"\n\n"
            await wire.write(self._send, body, more=False)
        else:
            await wire.refuse(self._send, error)


async def _route(door: Door, scope: Scope, receive: Receive, send: Send) -> None:
    path: str = scope["path"].rstrip("/")
    if path == "/v1/chat/completions":
        await _only("POST", scope, completions.serve(door, "chat", scope, receive, send))
    elif path == "/v1/completions":
        await _only("POST", scope, completions.serve(door, "completion", scope, receive, send))
    elif path == "/v1/embeddings":
        await _only("POST", scope, completions.serve(door, "embedding", scope, receive, send))
    elif path == "/v1/models":
        await _only("GET", scope, _models(door, scope, send))
    elif path.startswith("/v1/models/"):
        await _only("GET", scope, _model(door, path[len("/v1/models/") :], scope, send))
    elif found := EVENTS.fullmatch(path):
        await _only("GET", scope, events.serve(door, found[1], scope, receive, send))
    elif path == "/health":
        await _only("GET", scope, _alive(send))
    elif path == "/health/ready":
        await _only("GET", scope, _ready(door, send))
    else:
        raise ApiError(404, "unknown_url", f"unknown path: {scope['method']} {scope['path']}")


async def _only(method: str, scope: Scope, work: Any) -> None:
    if scope["method"] == method or (method == "GET" and scope["method"] == "HEAD"):
        await work
        return
    work.close()
    raise ApiError(405, "method_not_allowed", f"{scope['path']} takes {method}")


async def _caller(door: Door, scope: Scope) -> None:
    await door.caller(wire.header(scope, "authorization"), wire.header(scope, "x-api-key"))


def _card(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(STARTED_AT), "owned_by": "llmqueue"}


async def _models(door: Door, scope: Scope, send: Send) -> None:
    await _caller(door, scope)
    data = [_card(name) for name in await door.models()]
    await wire.answer(send, 200, orjson.dumps({"object": "list", "data": data}))


async def _model(door: Door, name: str, scope: Scope, send: Send) -> None:
    await _caller(door, scope)
    if name not in await door.models():
        raise ApiError(404, "model_not_found", f"the model {name!r} does not exist", param="model")
    await wire.answer(send, 200, orjson.dumps(_card(name)))


async def _alive(send: Send) -> None:
    await wire.answer(send, 200, orjson.dumps({"status": "ok"}))


async def _ready(door: Door, send: Send) -> None:
    """Whether this process can do its work; looked up once a second, however often asked."""
    global _readiness
    async with _looking:
        if time.monotonic() >= _readiness[0]:
            status, body = await _components(door)
            _readiness = (time.monotonic() + READY_SECONDS, status, body)
    await wire.answer(send, _readiness[1], _readiness[2])


async def _components(door: Door) -> tuple[int, bytes]:
    """Its servers answer and the schema is there."""

    async def postgres() -> None:
        await fetch(door.database.relaxed, "select 1 from scheduling_levelclock limit 1")

    async def valkey() -> None:
        await door.valkey.ping()

    components = {"postgresql": await _probe(postgres), "valkey": await _probe(valkey)}
    ready = all(component["status"] == "ok" for component in components.values())
    body = {"status": "ready" if ready else "unavailable", "components": components}
    return 200 if ready else 503, orjson.dumps(body)


async def _probe(check: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(2):
            await check()
        status = "ok"
    except (psycopg.Error, RedisError, TimeoutError, OSError) as error:
        log.info("health.failed", check=check.__qualname__, error=str(error))
        status = "down"
    return {"status": status, "response_ms": round((time.perf_counter() - began) * 1000, 2)}
