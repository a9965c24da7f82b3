"""What the readers of streamed and of whole answers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from balancing.calls.answer import OnChunk
from balancing.calls.timer import CallTimer
from balancing.kinds.call import Call
from balancing.kinds.contract import EndpointKind

LARGEST_ANSWER = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer that is to be read: to which call, from what kind of endpoint, for whom."""

    call: Call
    kind: EndpointKind
    on_chunk: OnChunk
    timer: CallTimer

    def rename(self, answer: dict[str, Any]) -> None:
        """Put the client's name of the model in place of the endpoint's."""
        if self.call.model and "model" in answer:
            answer["model"] = self.call.model


async def read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The body to its end, or somewhat more than `LARGEST_ANSWER` of it."""
    return await read_at_most(response, LARGEST_ANSWER)


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body to its end, or its first `limit` bytes and a little more."""
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := await response.content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)
