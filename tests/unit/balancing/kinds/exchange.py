"""One call to an endpoint that answers with a script: what it was sent, and what came of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import orjson
import pytest

from balancing.calls.answer import Answer
from balancing.calls.client import Client
from balancing.endpoints.access import Access
from balancing.endpoints.target import Target
from balancing.errors import CallError
from balancing.kinds.call import Call, Timeouts

PATIENT = Timeouts(connect=5, first_token=5, stall=5, total=10)
HELLO = [{"role": "user", "content": "hello"}]


@dataclass
class Exchange:
    """`chunks` are what a streaming client got; `answer` is what is stored."""

    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    sent: Any = None
    chunks: list[dict[str, Any]] = field(default_factory=list)
    answer: Answer = field(default_factory=Answer)

    @property
    def body(self) -> Any:
        return orjson.loads(self.answer.body)

    @property
    def message(self) -> Any:
        return self.body["choices"][0]["message"]

    @property
    def deltas(self) -> list[dict[str, Any]]:
        return [c["choices"][0]["delta"] for c in self.chunks if c["choices"]]


def sse(*events: Any) -> bytes:
    frames = [b"data: " + orjson.dumps(event) + b"\r\n\r\n" for event in events]
    return _response(200, b"".join(frames), "text/event-stream")


def answered(body: Any, status: int = 200, **headers: str) -> bytes:
    return _response(status, orjson.dumps(body), "application/json", **headers)


def _response(status: int, body: bytes, kind: str, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"content-type: {kind}", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body


async def exchange(
    access: Access,
    response: bytes,
    *,
    api: str = "chat",
    stream: bool = False,
    path: str = "/v1",
    **fields: Any,
) -> Exchange:
    """Ask in OpenAI's words; `fields` are those of the request.

    Raises:
        CallError: as the client does.
    """
    seen = Exchange()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        seen.path = first.split(" ")[1]
        seen.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        seen.sent = orjson.loads(await reader.readexactly(int(seen.headers["content-length"])))
        writer.write(response)
        await writer.drain()
        writer.close()

    body: dict[str, Any] = {"model": "m", **fields}
    if api == "chat":
        body.setdefault("messages", HELLO)
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    call = Call(uuid4(), api, orjson.dumps(body).decode(), stream, PATIENT)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}{path}"
        target = Target(
            1, "e", url, frozenset(["m"]), "LLM_TEST_KEY", 1.0, 8, "enabled", access=access
        )
        client = Client()
        try:
            seen.answer = await client.call(
                target, call, lambda text, _piece: seen.chunks.append(orjson.loads(text))
            )
        finally:
            await client.close()
    return seen


async def failing(access: Access, response: bytes, **options: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        await exchange(access, response, **options)
    return caught.value


async def asked(access: Access, response: bytes, **options: Any) -> Any:
    """The body that was sent."""
    return (await exchange(access, response, **options)).sent
