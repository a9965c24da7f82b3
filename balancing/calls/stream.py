"""Reads a streamed answer: hands on each chunk at once, and puts all of them together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import aiohttp
import orjson

from balancing.calls import reading as limits
from balancing.calls.answer import Answer, Piece
from balancing.calls.reading import Reading, object_of
from balancing.calls.refusals import error_inside
from balancing.errors import UNKNOWN_SHAPE, Broken
from balancing.kinds.assembly import Assembly

CHUNK = "the endpoint sent a chunk that"


async def read_stream(response: aiohttp.ClientResponse, reading: Reading) -> Answer:
    """Read server-sent events to their end.

    Raises:
        Broken: the stream ends before the answer, or has an unknown shape.
        Unavailable, Refused: an event reports a failure.
    """
    return await _Stream(reading).read(response)


class _Stream:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._public_id = reading.call.public_id
        self._translator = reading.kind.translator()
        self._assembly = Assembly()
        self._answer = Answer()
        self._done = False

    async def read(self, response: aiohttp.ClientResponse) -> Answer:
        rest, size = b"", 0
        while not self._done:
            data = await response.content.readany()
            if not data:
                break
            self._reading.timer.progressed()
            size += len(data)
            if size > limits.LARGEST_ANSWER:
                raise Broken("too_large", "the endpoint's answer is too large")
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    self._take_event(line[5:].strip())
        return self._end()

    def _take_event(self, payload: bytes) -> None:
        if payload == b"[DONE]":
            self._done = True
        elif payload and self._translator is None:
            self._take_chunk(object_of(payload, CHUNK), payload)
        elif payload and self._translator is not None:
            for chunk in _translated(partial(self._translator.feed, object_of(payload, CHUNK))):
                self._take_chunk(chunk)
            self._done = self._translator.done

    def _take_chunk(self, chunk: dict[str, Any], payload: bytes = b"") -> None:
        if chunk.get("error"):
            raise error_inside(chunk, payload.decode("utf-8", "replace"))
        chunk["id"] = self._public_id
        self._reading.rename(chunk)
        try:
            spoke = self._assembly.feed(chunk)
            # orjson reads deeper nesting than it writes; writing refuses such a chunk.
            text = orjson.dumps(chunk).decode()
        except (AttributeError, KeyError, TypeError):
            raise Broken("malformed", "the endpoint sent a chunk of an unknown shape") from None
        if spoke and self._answer.first_token_at is None:
            self._answer.first_token_at = datetime.now(UTC)
        self._reading.on_chunk(text, _piece(chunk, spoke=spoke))

    def _end(self) -> Answer:
        if self._translator is not None:
            for chunk in _translated(self._translator.end):
                self._take_chunk(chunk)
        if not self._done and not self._assembly.finished:
            raise Broken("broken", "the endpoint's stream ended before its answer did")
        answer, assembly = self._answer, self._assembly
        answer.body = orjson.dumps({**assembly.response(), "id": self._public_id}).decode()
        answer.text = assembly.text
        answer.take_usage(assembly.usage)
        if answer.completion_tokens is None:
            answer.completion_tokens = assembly.tokens
        return answer


def _piece(chunk: dict[str, Any], *, spoke: bool) -> Piece:
    choices = chunk.get("choices") or ()
    if not choices and "usage" in chunk:
        return Piece.USAGE
    ends = any(choice.get("finish_reason") for choice in choices)
    return Piece.CONTENT if spoke or ends else Piece.FRAME


def _translated(make: Callable[[], Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return list(make())
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint sent a chunk of an unknown shape") from None
