"""A server with a curve: `python -m benchmarks.balancing.curved PORT CURVE SLOTS PACE`.

Small, so that it takes less than half of a core: it parses what the benchmark sends, no more, and
writes the tokens of all streams by one timer. SLOTS stand for the 200 of the curve, and PACE scales
its tokens a second.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import Any, cast

import uvloop

from benchmarks.balancing import crowding
from benchmarks.contenders import MODEL

TICK_SECONDS = 0.02
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL}


class Stream:
    """One answer: `made` of its `tokens` are out."""

    def __init__(self, transport: asyncio.Transport, asked: dict[str, Any]) -> None:
        self.transport = transport
        self.tokens = int(asked.get("max_tokens") or 1)
        self.is_streamed = bool(asked.get("stream"))
        self.mark = 0.0
        self.made = 0

    def begin(self, clock: float) -> None:
        self.mark = clock
        if self.is_streamed:
            self.transport.write(
                HEAD % b"text/event-stream" + b"Transfer-Encoding: chunked\r\n\r\n"
            )

    def write(self, clock: float) -> bool:
        """What is due by now; whether it was the last."""
        due = min(self.tokens, int(clock - self.mark))
        if self.is_streamed and due > self.made:
            choice = {"index": 0, "delta": {"content": " w" * (due - self.made)}}
            self._event({**CHUNK, "choices": [{**choice, "finish_reason": None}]})
        self.made = due
        if due == self.tokens:
            self._end()
        return due == self.tokens

    def _end(self) -> None:
        usage = {
            "prompt_tokens": 1,
            "completion_tokens": self.tokens,
            "total_tokens": self.tokens + 1,
        }
        done = {"index": 0, "finish_reason": "stop"}
        if self.is_streamed:
            self._event({**CHUNK, "choices": [{**done, "delta": {}}], "usage": usage})
            self._chunk(b"data: [DONE]\n\n")
            self.transport.write(b"0\r\n\r\n")
            return
        message = {"role": "assistant", "content": " w" * self.tokens}
        whole = {**CHUNK, "object": "chat.completion", "choices": [{**done, "message": message}]}
        send(self.transport, {**whole, "usage": usage})

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(event).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%s\r\n" % (len(data), data))


class Server:
    def __init__(self, curve: crowding.Curve, slots: int, pace: float) -> None:
        self._curve = curve
        self._scale = crowding.SLOTS / slots
        self._pace = pace
        self._clock = 0.0
        self.streams: set[Stream] = set()

    def begin(self, stream: Stream) -> None:
        stream.begin(self._clock)
        self.streams.add(stream)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            if self.streams:
                streams = round(len(self.streams) * self._scale)
                self._clock += (now - at) * self._pace * self._curve(streams)
            at = now
            self.streams -= {stream for stream in self.streams if stream.write(self._clock)}


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        gone = {stream for stream in self._server.streams if stream.transport is self._transport}
        self._server.streams -= gone

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._data += data
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._data = body[_length(head) :]
        if head.startswith(b"POST"):
            self._server.begin(Stream(self._transport, json.loads(body[: _length(head)])))
        else:
            send(self._transport, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})


def send(transport: asyncio.Transport, answer: dict[str, Any]) -> None:
    body = json.dumps(answer).encode()
    head = HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(body)
    transport.write(head + body)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


async def _serve(port: int, curve: str, slots: int, pace: float) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = Server(getattr(crowding, curve), slots, pace)
    listening = await loop.create_server(lambda: Connection(server), "127.0.0.1", port)
    running = asyncio.create_task(server.run())
    await stopped.wait()
    running.cancel()
    listening.close()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
