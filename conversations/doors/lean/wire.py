"""ASGI, as little of it as the hot path needs: read a body, send an answer, see a hang-up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from conversations.doors.lean.errors import ApiError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[str, str]]

MOST_DISCARDED = 64 * 1024 * 1024
JSON = ("content-type", "application/json")


class HungUp(Exception):
    """The client closed its connection."""


def header(scope: Scope, name: str) -> str:
    """The value of a request header, empty when it was not sent."""
    wanted = name.encode()
    for key, value in scope["headers"]:
        if key == wanted:
            return str(value.decode("latin-1"))
    return ""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body.

    Raises:
        ApiError: it is larger than `limit` bytes.
        HungUp: the client went away while sending it.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        part = message.get("body", b"")
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            # Read on, keeping nothing: a client still sending would not see the answer.
            parts.clear()
        if not message.get("more_body") or size > limit + MOST_DISCARDED:
            break
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "body_too_large", f"the body is larger than {limit} bytes")


async def start(send: Send, status: int, headers: Headers) -> None:
    encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def write(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send: Send, status: int, body: bytes, headers: Headers = ()) -> None:
    """A whole JSON answer."""
    await start(send, status, [JSON, ("content-length", str(len(body))), *headers])
    await write(send, body, more=False)


async def refuse(send: Send, error: ApiError, headers: Headers = ()) -> None:
    await answer(send, error.status, error.body(), [*error.headers(), *headers])


async def hang_up(receive: Receive) -> None:
    """Returns when the client closes its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_hung_up(receive: Receive, work: Awaitable[None]) -> None:
    """Do the work; end it when the client goes away.

    Raises:
        HungUp: it did.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.create_task(hang_up(receive))
    try:
        await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise HungUp
        await working
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
