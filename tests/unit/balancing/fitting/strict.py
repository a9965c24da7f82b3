"""An endpoint that refuses fields, in words of the test's choice, and answers all else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import orjson

from balancing.calls.client import Client
from balancing.endpoints.access import Access
from balancing.endpoints.target import Target
from balancing.fitting.client import FittedClient
from balancing.fitting.learned import Lessons
from balancing.kinds.call import Call
from tests.unit.balancing.calls.scripted import PATIENT, Chunks, events, response

HELLO = [{"role": "user", "content": "hello"}]
WHOLE = {
    "id": "x",
    "object": "chat.completion",
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hi"},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}
PARTS = [
    {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
]
# What it says of a request: the status and the body of a refusal; None to answer.
Judge = Callable[[dict[str, Any]], tuple[int, Any] | None]


@dataclass
class Strict:
    """`asked` are the bodies that came, `chunks` what the last streaming client got."""

    judge: Judge
    url: str = ""
    access: Access = field(default_factory=Access)
    asked: list[dict[str, Any]] = field(default_factory=list)
    lessons: Lessons = field(default_factory=lambda: Lessons(None))
    chunks: Chunks = field(default_factory=Chunks)
    client: FittedClient = field(init=False)

    async def ask(self, *, api: str = "chat", endpoint: int = 1, **fields: Any) -> Any:
        """The body of the answer to a request of these fields."""
        body = {"model": "m", **({"messages": HELLO} if api == "chat" else {}), **fields}
        stream = bool(fields.get("stream"))
        call = Call(uuid4(), api, orjson.dumps(body).decode(), stream, PATIENT)
        self.chunks = Chunks()
        answer = await self.client.call(self.target(endpoint), call, self.chunks)
        return orjson.loads(answer.body)

    def target(self, endpoint: int) -> Target:
        models = frozenset(["m"])
        return Target(endpoint, "e", self.url, models, "", 1.0, 8, "enabled", access=self.access)

    def learned(self, endpoint: int = 1, model: str = "m") -> frozenset[str]:
        return (self.lessons.of(endpoint) or {}).get(model, frozenset())

    def answer(self, body: dict[str, Any]) -> bytes:
        refusal = self.judge(body)
        if refusal is not None:
            status, told = refusal
            text = told if isinstance(told, str) else orjson.dumps(told).decode()
            return response(text, status=f"{status} X")
        if body.get("stream"):
            return events(*PARTS)
        return response(orjson.dumps(WHOLE))


@contextmanager
def running_strict(judge: Judge) -> Iterator[Strict]:
    """The endpoint alone, in a thread, for a whole stack in front of it."""
    found = Strict(judge)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
            found.asked.append(body)
            self.wfile.write(found.answer(body))
            self.close_connection = True

        def log_message(self, *_arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield found
        server.shutdown()


@asynccontextmanager
async def strict(judge: Judge, *, kind: str = "openai") -> AsyncIterator[Strict]:
    """An endpoint, and a client that begins with nothing learned."""
    found = Strict(judge, access=Access(kind=kind))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.split("content-length: ")[1].split("\r\n")[0])
        body = orjson.loads(await reader.readexactly(length))
        found.asked.append(body)
        writer.write(found.answer(body))
        await writer.drain()
        writer.close()

    client = Client()
    found.client = FittedClient(client, found.lessons)
    try:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found.url = f"http://127.0.0.1:{port}/v1"
            yield found
    finally:
        await client.close()
