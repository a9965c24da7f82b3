"""One request and its answer, through either door, as a client sees it."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from llmqueue_project.embedded.errors import EmbeddedError

_QUEUED = re.compile(r"queued position=(\d+)(?: eta=([\d.]+))?")
_QUEUE_TIME = re.compile(r"queue_ms=([\d.]+)")


@dataclass
class Exchange:
    """One request as its client saw it; times are seconds since it was sent."""

    level: str
    door: str
    sent_at: float = field(default_factory=time.monotonic)
    position: int | None = None
    eta: float | None = None
    started: bool = False
    waited: float | None = None
    first_token: float | None = None
    total: float | None = None
    tokens: int | None = None
    text: str = ""

    @property
    def started_at(self) -> float:
        return self.sent_at + (float("inf") if self.waited is None else self.waited)

    def queued(self, position: int, eta: float | None) -> None:
        if self.position is None:
            self.position, self.eta = position, eta

    def comment(self, text: str) -> None:
        """A comment of the stream; the door sends them before the answer and after it."""
        if found := _QUEUED.search(text):
            self.queued(int(found[1]), float(found[2]) if found[2] else None)
        elif found := _QUEUE_TIME.search(text):
            self.waited = float(found[1]) / 1000
        elif text == "processing":
            self.started = True

    def delta(self, text: str) -> None:
        self.started = True
        if self.first_token is None:
            self.first_token = time.monotonic() - self.sent_at
        self.text += text

    def finished(self) -> None:
        self.total = time.monotonic() - self.sent_at


Show = Callable[[str], None]


def _silent(_text: str) -> None:
    """Show nothing."""


class Client:
    """Both doors of one llmqueue."""

    def __init__(self, session: aiohttp.ClientSession, url: str, model: str) -> None:
        self._session = session
        self._url = url
        self._model = model

    @classmethod
    async def connect(cls, session: aiohttp.ClientSession, url: str) -> Client:
        """A client that asks for the first model offered."""
        async with session.get(f"{url}/v1/models") as response:
            document = await _json(response)
        if not document["data"]:
            raise EmbeddedError("no model is registered: add an endpoint in the admin")
        return cls(session, url, document["data"][0]["id"])

    @property
    def model(self) -> str:
        return self._model

    async def chat(
        self, level: str, question: str, *, tokens: int, show: Show = _silent
    ) -> AsyncIterator[Exchange]:
        """Stream one answer through `/v1/chat/completions`; yields at every event."""
        exchange = Exchange(level, "/v1 stream")
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        headers = {"X-Priority": level}
        address = f"{self._url}/v1/chat/completions"
        yield exchange
        async with self._session.post(address, json=body, headers=headers) as response:
            await _require_success(response)
            async for _event, data, comment in _events(response):
                exchange.comment(comment)
                if data and data != "[DONE]":
                    _read_chunk(exchange, json.loads(data), show)
                yield exchange
        exchange.finished()
        yield exchange

    async def message(self, level: str, content: str) -> AsyncIterator[Exchange]:
        """Submit through `POST /api/v1/messages`, then follow `/events`."""
        exchange = Exchange(level, "REST events")
        body = {"user_id": "demo", "content": content, "priority": level, "model": self._model}
        yield exchange
        async with self._session.post(f"{self._url}/api/v1/messages", json=body) as response:
            submitted = (await _json(response))["data"]
        if submitted["position"]:
            exchange.queued(submitted["position"], submitted["estimated_wait"])
        address = f"{self._url}/api/v1/messages/{submitted['id']}"
        async with self._session.get(f"{address}/events") as response:
            await _require_success(response)
            async for event, data, _comment in _events(response):
                _read_event(exchange, event, json.loads(data) if data else {})
                yield exchange
                if event in ("completed", "error"):
                    break
        exchange.finished()
        async with self._session.get(address) as response:
            stored = (await _json(response))["data"]
        exchange.tokens = (stored.get("usage") or {}).get("completion_tokens")
        yield exchange


def _read_chunk(exchange: Exchange, chunk: dict[str, Any], show: Show) -> None:
    if error := chunk.get("error"):
        raise EmbeddedError(f"the {exchange.level} request failed: {error.get('message')}")
    for choice in chunk.get("choices", ()):
        if text := choice.get("delta", {}).get("content"):
            exchange.delta(text)
            show(text)
    if usage := chunk.get("usage"):
        exchange.tokens = usage.get("completion_tokens")


def _read_event(exchange: Exchange, event: str, data: dict[str, Any]) -> None:
    if event == "queued" and data.get("position"):
        exchange.queued(int(data["position"]), data["eta"])
    elif event == "started":
        exchange.started = True
    elif event == "delta":
        exchange.delta(str(data["content"]))
    elif event == "completed":
        exchange.waited = float(data["queue_ms"]) / 1000
    elif event == "error":
        raise EmbeddedError(f"the {exchange.level} request failed: {data}")


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, str]]:
    """Server-sent events and comments as (event, data, comment)."""
    event, data = "message", ""
    async for raw in response.content:
        line = raw.decode().rstrip("\r\n")
        if line.startswith(":"):
            yield "", "", line[1:].strip()
        elif line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield event, data, ""
            event, data = "message", ""


async def _require_success(response: aiohttp.ClientResponse) -> None:
    if response.status >= 300:
        text = (await response.text())[:500]
        raise EmbeddedError(f"{response.method} {response.url} answered {response.status}: {text}")


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    await _require_success(response)
    document: dict[str, Any] = await response.json()
    return document
