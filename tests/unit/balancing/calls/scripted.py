"""Calls to endpoints that answer with a script, and what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import orjson
import pytest

from balancing.calls.answer import Answer, Piece
from balancing.calls.client import Client
from balancing.endpoints.target import Target
from balancing.errors import CallError
from balancing.kinds.call import Call, Timeouts

PATIENT = Timeouts(connect=5, first_token=5, stall=5, total=10)
SSE = "text/event-stream"
DELTA = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
ANSWER = '{"choices":[{"index":0,"message":{"content":"hi"},"finish_reason":"stop"}]}'
LAST = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def target(base_url: str, variable: str = "") -> Target:
    return Target(1, "e", base_url, frozenset(["m"]), variable, 1.0, 8, "enabled")


def chat(
    prompt: str = "hello", *, stream: bool = False, timeouts: Timeouts = PATIENT, **fields: Any
) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **fields}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return Call(uuid4(), "chat", orjson.dumps(body).decode(), stream, timeouts)


def quick(**fields: float) -> Timeouts:
    return Timeouts(**{"connect": 5, "first_token": 5, "stall": 5, "total": 10, **fields})


class Chunks:
    """What a caller was handed."""

    def __init__(self) -> None:
        self.all: list[tuple[dict[str, Any], Piece]] = []

    def __call__(self, text: str, piece: Piece) -> None:
        self.all.append((orjson.loads(text), piece))

    @property
    def text(self) -> str:
        choices = [choice for chunk, _ in self.all for choice in chunk["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


async def failure(client: Client, endpoint: Target, call: Call) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.call(endpoint, call, Chunks())
    return caught.value


def response(
    body: bytes | str, *, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + data


def events(*payloads: Any, done: bool = True) -> bytes:
    texts = [p if isinstance(p, bytes) else orjson.dumps(p) for p in payloads]
    frames = b"".join(b"data: " + text + b"\n\n" for text in texts)
    return response(frames + (b"data: [DONE]\n\n" if done else b""), kind=SSE)


@asynccontextmanager
async def scripted(*parts: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An endpoint that answers every request with these bytes, part by part, and its requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", requests


async def from_script(client: Client, data: bytes, *, stream: bool = False) -> Answer:
    async with scripted(data) as (url, _):
        return await client.call(target(url), chat(stream=stream), Chunks())


async def failure_of(client: Client, data: bytes, *, stream: bool = False) -> CallError:
    async with scripted(data) as (url, _):
        return await failure(client, target(url), chat(stream=stream))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
