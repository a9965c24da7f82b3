"""What aiohttp does not say of a connection to an endpoint.

- A body that breaks the rules of HTTP (a chunk without a size) ends at once with an error. aiohttp
  closes such a connection, and leaves its reader to wait.
- A kept-alive connection that the endpoint closes as the next call comes is `Stale`: nothing was
  read of the call, and it may be made again.
- Bytes behind a complete answer harm that connection, not the answer; the same length told twice
  is one length.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import _EXC_SENTINEL

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)[ \t]*(?=\r\n)", re.IGNORECASE)
# An endpoint that closes later than this has begun to work on the call.
STALE_SECONDS = 1.0


class Stale(aiohttp.ServerDisconnectedError):
    """A kept-alive connection had been closed by the endpoint."""


class Connection(ResponseHandler):
    """One connection, for one call after the other."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._calls = 0
        self._heard = False
        self._began = 0.0

    def set_response_params(self, **options: Any) -> None:
        self._calls += 1
        self._heard = False
        self._began = self._loop.time()
        super().set_response_params(**options)

    def data_received(self, data: bytes) -> None:
        if self._heard:
            super().data_received(data)
            return
        self._heard = True
        head, end, body = data.partition(_END_OF_HEAD)
        if not end:
            super().data_received(data)
            return
        # Apart, because aiohttp forgets a head when it refuses what follows in the same read.
        super().data_received(_with_one_length(head) + end)
        if body:
            super().data_received(body)

    def set_exception(self, exc: BaseException, exc_cause: BaseException = _EXC_SENTINEL) -> None:
        if self._is_stale(exc):
            exc = Stale()
        payload = self._payload
        super().set_exception(exc, exc_cause)
        if payload is not None and not payload.is_eof() and payload.exception() is None:
            payload.set_exception(aiohttp.ClientPayloadError(str(exc)))

    def _is_stale(self, exc: object) -> bool:
        closed = isinstance(exc, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
        is_quick = self._loop.time() - self._began < STALE_SECONDS
        return closed and is_quick and self._calls > 1 and not self._heard


def use(connector: aiohttp.TCPConnector) -> aiohttp.TCPConnector:
    """Make a connector's connections of this class; to be called in the running loop."""
    factory = partial(Connection, asyncio.get_running_loop())
    connector._factory = cast("partial[ResponseHandler]", factory)
    return connector


def _with_one_length(head: bytes) -> bytes:
    """A head with `Content-Length` once, if all of them say the same."""
    lengths: list[bytes] = _LENGTH.findall(head + b"\r\n")
    if len(lengths) < 2 or len(set(lengths)) > 1:
        return head
    without = _LENGTH.sub(b"", head + b"\r\n").removesuffix(b"\r\n")
    return without + b"\r\nContent-Length: " + lengths[0]
