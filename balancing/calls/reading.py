"""What the readers of streamed and of unstreamed answers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from balancing.calls.answer import OnChunk
from balancing.calls.timer import CallTimer
from balancing.errors import Broken
from balancing.kinds.call import Call
from balancing.kinds.contract import EndpointKind

LARGEST_ANSWER = 64 * 1024 * 1024


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


async def read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The whole body; a body above `LARGEST_ANSWER` is cut off a little later."""
    return await read_at_most(response, LARGEST_ANSWER)


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The whole body; a body above `limit` bytes is cut off a little later."""
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := await response.content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def object_of(data: bytes, what: str) -> dict[str, Any]:
    """A JSON object that the endpoint sent; `what` begins the sentence that refuses it.

    Raises:
        Broken: it is not JSON, or not an object.
    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Broken("malformed", f"{what} is not JSON") from None
    if not isinstance(found, dict):
        raise Broken("malformed", f"{what} is not an object")
    return found
