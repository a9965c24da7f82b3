"""One HTTP request and its answer over ASGI, with no more than the hot path needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from prometheus_client import Counter

from conversations.doors.lean import encodings
from conversations.doors.lean.leaving import Leaving, ShuttingDown
from conversations.doors.lean.refusals import ErrorFormat, Refusal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

MOST_DISCARDED = 64 * 1024 * 1024
JSON = ("content-type", "application/json")
# Proxies are not to keep what is small or old.
LIVE = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
door_requests = Counter(
    "llmqueue_door_requests", "Requests of the lean application", ["path", "status"]
)


class HungUp(Exception):
    """The client closed its connection."""


class Exchange:
    """One request and its answer.

    Args:
        errors: how its door writes a refusal.
        parameters: what the path has where the route names a part of it.
        label: the path's name in the metrics.
        leaving: the process's way out, which may cut the answer.

    Attributes:
        begun: whether an answer has begun. A refusal can then only end it.
    """

    __slots__ = (
        "_ended",
        "_errors",
        "_is_json",
        "_label",
        "_leaving",
        "_receive",
        "_scope",
        "_send",
        "_sent",
        "begun",
        "parameters",
    )

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        errors: ErrorFormat,
        parameters: tuple[str, ...] = (),
        label: str = "other",
        leaving: Leaving | None = None,
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._errors = errors
        self._label = label
        self._leaving = leaving or Leaving()
        self.parameters = parameters
        self.begun = False
        self._ended = False
        self._is_json = False
        self._sent: dict[bytes, bytes] | None = None

    def header(self, name: str) -> str:
        """The value of a request header, by its lower-case name; empty when it was not sent.

        Of several the first counts.
        """
        if self._sent is None:
            self._sent = dict(reversed([*self._scope["headers"]]))
        return self._sent.get(name.encode(), b"").decode("latin-1")

    async def read_body(self, limit: int) -> bytes:
        """The whole body, decompressed where the client has compressed it.

        Raises:
            Refusal: it is larger than `limit` bytes, or of an unknown encoding.
            HungUp: the client went away while sending it.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise HungUp
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
            else:
                # Read on and keep nothing: a client that is still sending does not see the answer.
                parts.clear()
            if not message.get("more_body") or size > limit + MOST_DISCARDED:
                break
        body = b"".join(parts)
        encoding = self.header("content-encoding").strip().lower()
        if encoding not in encodings.PLAIN and size <= limit:
            body = await asyncio.to_thread(encodings.decoded, body, encoding, limit)
            size = len(body)
        if size > limit:
            reason = f"the body is larger than {limit} bytes (LLMQUEUE_WEB__MAX_BODY_BYTES)"
            raise Refusal(413, "body_too_large", reason)
        return body

    async def start(self, status: int, headers: Headers) -> None:
        self.begun = True
        door_requests.labels(self._label, str(status)).inc()
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})

    async def write(self, body: bytes, *, more: bool = True) -> None:
        self._ended = not more
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """A whole JSON answer, or the rest of one that `start_json` began."""
        if self.begun:
            await self.write(body, more=False)
            return
        await self.start(status, [JSON, ("content-length", str(len(body))), *headers])
        await self.write(body, more=False)

    async def start_json(self, headers: Headers) -> None:
        """Begin a JSON answer that is not there yet. White space may be written until it is."""
        self._is_json = True
        await self.start(200, [JSON, *LIVE, *headers])

    async def refuse(self, refusal: Refusal, headers: Headers = ()) -> None:
        """Answer with a refusal; what has begun ends with it, as its last event or its JSON."""
        if self.begun and not self._is_json:
            await self.write(self._errors.event(refusal), more=False)
            return
        body = self._errors.body(refusal)
        await self.answer(refusal.status, body, [*refusal.headers, *headers])

    async def unless_hung_up(self, work: Awaitable[None]) -> None:
        """Do the work; end it when the client goes away.

        Raises:
            HungUp: the client went away.
            ShuttingDown: this process goes away.
        """
        working = asyncio.ensure_future(work)
        watching = asyncio.create_task(self._hang_up())
        self._leaving.hold(working)
        try:
            await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise HungUp
            if not working.cancelled():
                await working
            elif not self._ended:
                raise ShuttingDown
        finally:
            self._leaving.release(working)
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, return_exceptions=True)

    async def _hang_up(self) -> None:
        """Returns when the client closes its connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
