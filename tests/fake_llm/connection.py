"""HTTP/1.1 by hand: aiohttp's server costs four times as much CPU a request.

Only what OpenAI clients send: keep-alive, `Content-Length` bodies, one request at a time
(a pipelined one waits for its turn).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

HEAD_END = b"\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Work(Protocol):
    """An answer in progress, told when its client is gone."""

    def hung_up(self) -> None: ...


class Connection(asyncio.Protocol):
    """One client. The router answers each request with `respond` or the `stream_*` calls."""

    def __init__(
        self, route: Callable[[Connection, str, str, bytes], None], open_: set[Connection]
    ) -> None:
        self._route = route
        self._open = open_
        self._received = bytearray()
        self._busy = False
        self.work: Work | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass
        self._open.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._open.discard(self)
        work, self.work = self.work, None
        if work is not None:
            work.hung_up()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._next()

    def respond(
        self,
        status: int,
        body: bytes,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> None:
        lines = [
            f"HTTP/1.1 {status} {PHRASES.get(status, 'Unknown')}",
            f"content-type: {content_type}",
            f"content-length: {len(body)}",
            *(f"{name}: {value}" for name, value in (headers or {}).items()),
        ]
        self._write(b"".join(["\r\n".join(lines).encode(), HEAD_END, body]))
        self._finished()

    def stream_start(self) -> None:
        self._write(STREAM_HEAD)

    def stream_send(self, frames: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(frames), frames))

    def stream_end(self, frames: bytes) -> None:
        self._write(b"%x\r\n%b\r\n%b" % (len(frames), frames, LAST_CHUNK))
        self._finished()

    def cut(self) -> None:
        """Break the connection off in the middle of an answer."""
        self.work = None
        if self.transport is not None:
            self.transport.abort()

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def _finished(self) -> None:
        self.work = None
        self._busy = False
        if self._received:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Route the next request, if it has arrived whole and none is being answered."""
        if self._busy:
            return
        head_size = self._received.find(HEAD_END)
        if head_size < 0:
            return
        head = self._received[:head_size].decode("latin-1")
        request_end = head_size + len(HEAD_END) + _content_length(head)
        if len(self._received) < request_end:
            return
        body = bytes(self._received[head_size + len(HEAD_END) : request_end])
        del self._received[:request_end]
        self._busy = True
        method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
        self._route(self, method, target.partition("?")[0], body)


def _content_length(head: str) -> int:
    _, found, rest = head.lower().partition("\r\ncontent-length:")
    return int(rest.split("\r\n", 1)[0]) if found else 0
