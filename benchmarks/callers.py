"""Simulated clients: each sends its next request when the last one is answered."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import orjson

from benchmarks.wire import Connection, Target

RECONNECT_SECONDS = 0.1


@dataclass(slots=True)
class Tally:
    """What all callers together saw; counts only while `open`."""

    open: bool = False
    stopping: bool = False
    answers: int = 0
    errors: int = 0
    tokens: int = 0
    short: int = 0
    """Of the errors: streams that ended in order without all of their tokens."""
    seconds: list[float] = field(default_factory=list)
    first_token_seconds: list[float] = field(default_factory=list)


class Caller:
    """A client that waits for whole answers."""

    def __init__(self, target: Target, tally: Tally) -> None:
        self._target = target
        self._tally = tally
        self._connection: Connection | None = None
        self._busy = False
        self._sent_at = 0.0
        self.ended = asyncio.Event()

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self._connection = await loop.create_connection(
                lambda: Connection(self), self._target.host, self._target.port
            )
        except OSError:
            self._tally.errors += self._tally.open
            self._again_later()

    def call(self) -> None:
        if self._connection is None:
            return
        if self._tally.stopping:
            self.ended.set()
            return
        self._busy = True
        self._begin()
        self._sent_at = time.perf_counter()
        self._connection.send(self._target.request)

    def hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def received(self, payload: bytes) -> None:
        pass

    def answered(self, status: int) -> None:
        self._busy = False
        if self._tally.open:
            self._tally.answers += 1
            self._tally.seconds.append(time.perf_counter() - self._sent_at)
            if status != 200 or not self._is_whole():
                self._tally.errors += 1
        self.call()

    def lost(self) -> None:
        if self._connection is None:
            return
        self._connection = None
        if self._busy and self._tally.open:
            self._tally.errors += 1
        self._busy = False
        self._again_later()

    def _again_later(self) -> None:
        if not self._tally.stopping:
            asyncio.get_running_loop().call_later(RECONNECT_SECONDS, self._reconnect)

    def _reconnect(self) -> None:
        task = asyncio.ensure_future(self.connect())
        task.add_done_callback(lambda _: self.call())

    def _begin(self) -> None:
        pass

    def _is_whole(self) -> bool:
        return True


class StreamCaller(Caller):
    """A client that reads a stream and counts its tokens as they arrive."""

    def __init__(self, target: Target, tally: Tally, *, tokens: int) -> None:
        super().__init__(target, tally)
        self._expected = tokens
        self._tokens = 0
        self._rest = b""

    def received(self, payload: bytes) -> None:
        *events, self._rest = (self._rest + payload).split(b"\n\n")
        arrived = sum(map(tokens_in, events))
        if not arrived:
            return
        if self._tally.open:
            self._tally.tokens += arrived
            if not self._tokens:
                self._tally.first_token_seconds.append(time.perf_counter() - self._sent_at)
        self._tokens += arrived

    def _begin(self) -> None:
        self._tokens = 0
        self._rest = b""

    def _is_whole(self) -> bool:
        whole = self._tokens == self._expected
        self._tally.short += not whole
        return whole


def tokens_in(event: bytes) -> int:
    """Tokens of one server-sent event: the fake endpoint ends each with one space."""
    if not event.startswith(b"data: {"):
        return 0
    choices = orjson.loads(event[6:]).get("choices")
    if not choices:
        return 0
    return (choices[0]["delta"].get("content") or "").count(" ")
