"""What the readers of streamed and of unstreamed answers share: the call, and the bytes."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from balancing.calls import tolerant
from balancing.calls.answer import OnChunk
from balancing.calls.timer import CallTimer
from balancing.errors import Broken, TooLarge, Unparsable
from balancing.kinds.call import Call
from balancing.kinds.contract import EndpointKind
from llmqueue_project.config import configuration

# How long the endpoint may keep silent, or only ping, behind an answer that is complete.
GRACE_SECONDS = 3.0
# The same once the token counts have come.
COUNTED_GRACE_SECONDS = 0.25
# How a body in gzip begins, and no other answer. Some gateways do not say that theirs is.
_GZIP = b"\x1f"
_GZIP_BITS = 31


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader needs beside the response: the call, the endpoint's kind and the recipient."""

    call: Call
    kind: EndpointKind
    on_chunk: OnChunk
    timer: CallTimer

    def rename(self, answer: dict[str, Any]) -> None:
        """Replace the endpoint's name of the model by the client's."""
        if self.call.model and "model" in answer:
            answer["model"] = self.call.model


class Body:
    """The bytes of an answer as they come. A broken connection ends them like a whole one.

    Attributes:
        broken: why the connection ended early; None if it did not.
    """

    def __init__(self, response: aiohttp.ClientResponse, timer: CallTimer) -> None:
        self.broken: Exception | None = None
        self._content = response.content
        self._timer = timer
        self._size = 0
        self._unpacker: Any = None
        self._limit = configuration().balancing.largest_answer_bytes

    @property
    def ended(self) -> bool:
        """Whether all bytes have been read, and none can follow."""
        return self._content.at_eof()

    async def read(self) -> bytes:
        """The next bytes; empty at the end.

        Raises:
            TooLarge: the answer exceeds `balancing.largest_answer_bytes`.
        """
        if self.broken is not None:
            return b""
        try:
            data = await self._content.readany()
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            if not self._size and "content-encoding" in str(error):
                raise Unparsable(
                    "content_encoding", f"the answer's label is wrong: {error}"
                ) from None
            self.broken = error
            # aiohttp's own methods raise from here on, and would hide what came before.
            data = self._content._read_nowait(-1)
        if data:
            self._timer.progressed()
            if self._unpacker is not None or (not self._size and data.startswith(_GZIP)):
                data = self._unpacked(data) or await self.read()
            self._size += len(data)
            if self._size > self._limit:
                raise too_large(self._limit)
        return data

    def _unpacked(self, data: bytes) -> bytes:
        self._unpacker = self._unpacker or zlib.decompressobj(_GZIP_BITS)
        try:
            unpacked: bytes = self._unpacker.decompress(data, self._limit)
        except zlib.error as error:
            raise Unparsable("content_encoding", f"the answer is no whole gzip: {error}") from None
        return unpacked

    async def read_until(self, end: float) -> bytes | None:
        """The next bytes, or None if the loop's clock reaches `end` first."""
        if self._content.at_eof() or self.broken is not None:
            return await self.read()
        try:
            async with asyncio.timeout_at(end) as limit:
                return await self.read()
        except TimeoutError:
            if not limit.expired():
                raise
            return None


def too_large(limit: int) -> TooLarge:
    return TooLarge(
        "answer_too_large",
        f"the answer is larger than {limit // 1024 // 1024} MiB "
        "(setting balancing.largest_answer_bytes); ask for less in one request",
    )


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body; a body above `limit` bytes is cut off a little later."""
    return b"".join([piece async for piece in pieces(response, limit)])


async def pieces(response: aiohttp.ClientResponse, limit: int) -> AsyncIterator[bytes]:
    """The body as it comes, up to a little more than `limit` bytes."""
    size = 0
    while size <= limit and (piece := await response.content.readany()):
        yield piece
        size += len(piece)


def object_of(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object that the endpoint sent; `what` begins the sentence that refuses it.

    Raises:
        Broken: it is not JSON, or not an object.
    """
    try:
        found = tolerant.read(data)
    except ValueError:
        raise Broken("malformed", f"{what} is not JSON") from None
    if not isinstance(found, dict):
        raise Broken("malformed", f"{what} is not an object")
    return found
