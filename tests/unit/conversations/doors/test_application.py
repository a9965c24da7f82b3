"""What the lean application serves, with its doors: the paths that clients know."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import orjson
import psycopg
import pytest
from psycopg_pool import PoolTimeout
from redis.exceptions import RedisError

from conversations.doors.application import lean_application
from conversations.doors.lean.app import LeanApplication
from conversations.doors.lean.routes import Door, Route
from conversations.doors.lean.wire import Exchange
from conversations.doors.openai.errors import OpenAIErrors
from stores.memory import Memory
from stores.reachability import Reachability


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/a/b",
        "/v1/unknown",
        "//v1/chat/completions",
        "/v1/v1/chat/completions",
        "/chat/completions",
        "/chat/completions/",
        "/models",
        "/health",
        "/health/ready",
        "/api/v1/messages/msg_1/events",
        "/api/v1/messages/msg_1/events/",
    ],
)
def test_what_it_serves(path: str) -> None:
    assert lean_application(Memory()).serves(path)


@pytest.mark.parametrize(
    "path", ["/", "/admin/", "/api/v1/messages", "/api/v1/messages/1", "/v1beta", "/metrics"]
)
def test_what_is_djangos(path: str) -> None:
    assert not lean_application(Memory()).serves(path)


class Answer:
    """What a client gets of an application whose backend is not needed."""

    def __init__(self) -> None:
        self.messages: list[MutableMapping[str, Any]] = []

    async def receive(self) -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.messages.append(message)


async def ask(
    app: LeanApplication, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, Any]:
    async def opened(_app: LeanApplication) -> object:
        return object()

    monkeypatch.setattr(LeanApplication, "_opened", opened)
    answer = Answer()
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    await app(scope, answer.receive, answer.send)
    start, body = answer.messages
    return start["status"], orjson.loads(body["body"])


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/chat/completions", 405, "/v1/chat/completions takes POST"),
        ("POST", "/v1/models", 405, "/v1/models takes GET"),
        ("DELETE", "/v1/models/m", 405, "/v1/models/m takes GET"),
        ("POST", "/health", 405, "/health takes GET"),
        ("GET", "/v1", 404, "unknown path: GET /v1"),
        ("POST", "/v1/chat", 404, "unknown path: POST /v1/chat"),
        ("POST", "/v1/v1/nothing", 404, "unknown path: POST /v1/v1/nothing"),
        ("GET", "/healthy", 404, "unknown path: GET /healthy"),
    ],
)
async def test_what_is_not_there_is_refused_as_openai_does(
    method: str, path: str, status: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await ask(lean_application(Memory()), method, path, monkeypatch)

    code = "unknown_url" if status == 404 else "method_not_allowed"
    error = {
        "message": message,
        "type": "invalid_request_error",
        "param": None,
        "code": code,
    }
    assert found == (status, {"error": error})


async def test_event_streams_refuse_in_their_doors_envelope(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = "/api/v1/messages/1/events"

    status, body = await ask(lean_application(Memory()), "POST", path, monkeypatch)

    assert (status, body["code"], body["error"]) == (405, 1017, "method_not_allowed")
    assert body["details"] == {"field": None, "reason": f"{path} takes GET"}


@pytest.mark.parametrize(
    ("error", "answers", "code"),
    [
        (PoolTimeout("30 waited"), True, "overloaded"),
        (PoolTimeout("it is away"), False, "unavailable"),
        (psycopg.OperationalError("it is away"), True, "unavailable"),
        (RedisError("it is away"), True, "unavailable"),
    ],
)
async def test_overload_is_no_outage(
    error: Exception, answers: bool, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def serve(_backend: object, _exchange: Exchange) -> None:
        raise error

    memory = Memory()
    monkeypatch.setattr(memory.of(Reachability), "_ask", lambda: answers)
    app = LeanApplication(memory, [Door((Route("GET", "/x", serve),), OpenAIErrors())])

    status, body = await ask(app, "GET", "/x", monkeypatch)

    assert (status, body["error"]["code"]) == (503, code)


async def test_alive_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await ask(lean_application(Memory()), "GET", "/health", monkeypatch) == (
        200,
        {"status": "ok"},
    )


async def test_a_fault_is_hidden_and_counted_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    status, body = await ask(lean_application(Memory()), "GET", "/v1/models", monkeypatch)

    assert (status, body["error"]["code"]) == (500, "internal_error")
