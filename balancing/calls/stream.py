"""Reads a streamed answer: hands on each chunk at once, and puts all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import orjson

from balancing.calls import tolerant
from balancing.calls.answer import Answer, Piece
from balancing.calls.chunks import chunks_of, parts_of
from balancing.calls.events import DONE, LARGE, Cutter, Event
from balancing.calls.halves import Halves
from balancing.calls.reading import COUNTED_GRACE_SECONDS, GRACE_SECONDS, Body, Reading
from balancing.calls.refusals import error_inside, failure_of, is_error
from balancing.calls.soundness import failed_choice, holds_answer
from balancing.calls.usage import take_usage
from balancing.errors import UNKNOWN_SHAPE, Broken, CallError
from balancing.kinds.assembly import Assembly

Json = dict[str, Any]
_PINGS = (b"", b"ping", b"pong", b"keepalive", b"keep-alive", b"heartbeat")
# What makes a choice an unusual one.
_ODD = frozenset({"message", "error"})


async def read_stream(body: Body, cutter: Cutter, head: bytes, reading: Reading) -> Answer:
    """Read a stream to its end; a client that asked for a whole answer gets it put together.

    Once the answer is finished, its end is not waited for long: `GRACE_SECONDS` without a further
    piece of the answer are enough, whether the endpoint keeps silent, pings or breaks off. Behind
    the token counts only the terminator can come, which lets the connection be used again.

    Raises:
        Broken: the stream ends before the answer, holds none, or has an unknown shape.
        Unavailable, Refused: an event reports a failure.
    """
    stream = Stream(reading)
    now = asyncio.get_running_loop().time
    data: bytes | None = head
    ends_at = 0.0
    while data:
        for event in cutter.feed(data):
            if type(event) is Event and len(event.payload) > LARGE:
                await asyncio.sleep(0)
            try:
                if stream.take(event) and stream.finished:
                    ends_at = now() + GRACE_SECONDS
            except CallError:
                # What goes wrong behind a finished answer is not the answer's.
                if not stream.finished:
                    raise
            if stream.counted:
                ends_at = min(ends_at, now() + COUNTED_GRACE_SECONDS)
            if stream.done:
                return await _ended(stream)
        data = await (body.read_until(ends_at) if stream.finished else body.read())
    for event in cutter.end() if data is not None and not stream.finished else ():
        if not stream.done:
            stream.take(event)
    return await _ended(stream, body.broken)


async def _ended(stream: Stream, broken: Exception | None = None) -> Answer:
    if stream.is_large:
        return await asyncio.to_thread(stream.end, broken)
    return stream.end(broken)


class Stream:
    """One streamed answer, from its events to the stored response.

    Attributes:
        done: whether the endpoint has said that nothing follows.
        finished: whether the answer is complete: all choices that were asked for have an end.
        counted: whether its token counts came after that: the last that a stream has to say.
        is_large: whether it is better put together beside the event loop.
    """

    def __init__(self, reading: Reading) -> None:
        self.done = False
        self.finished = False
        self.counted = False
        self.is_large = False
        # Pieces that had come when it was finished. If more follow, finish reasons say nothing.
        self._pieces = 0
        self._goes_on = False
        self._reading = reading
        self._streamed = reading.call.stream
        self._on_chunk = reading.on_chunk
        self._renames = bool(reading.call.model)
        self._public_id = reading.call.public_id
        self._translator = reading.kind.translator()
        self._assembly = Assembly()
        self._halves = Halves()
        self._answer = Answer()

    def take(self, event: Event | Json) -> bool:
        """Add an event, and hand on its chunks; whether it held a piece of the answer."""
        if isinstance(event, dict):
            found, odd, size = event, False, 0
        elif type(event.found) is dict:
            found, odd, size = event.found, event.odd, len(event.payload)
            if event.name == b"error" and (self._translator is None or "type" not in found):
                raise error_inside(found, self._reading.call.body)
        else:
            return self._take_other(event)
        if self._translator is None:
            return self._take_chunk(found, odd=odd, size=size)
        spoke = False
        for chunk in _translated(partial(self._translator.feed, found)):
            spoke |= self._take_chunk(chunk, odd=odd)
        self.done = self._translator.done
        return spoke

    def _take_other(self, event: Event) -> bool:
        """An event without an object."""
        if event.payload.strip(b' "').upper() == DONE:
            self.done = True
        elif event.name == b"error":
            text = event.payload.decode("utf-8", "replace")
            found = text if event.found is None else event.found
            raise error_inside(found, self._reading.call.body)
        elif isinstance(event.found, list) and all(isinstance(each, dict) for each in event.found):
            spoke = [self.take(each) for each in event.found]
            return any(spoke)
        elif not _is_ping(event):
            what = "JSON" if event.found is None else "an object"
            raise Broken("malformed", f"the endpoint sent a chunk that is not {what}")
        return False

    def _take_chunk(self, chunk: Json, *, odd: bool = False, size: int = 0) -> bool:
        try:
            choices = chunk.get("choices")
            if (
                not choices
                or None in choices
                or "error" in chunk
                or not _ODD.isdisjoint(choices[0])
            ):
                return self._take_odd(chunk, odd=odd)
            if odd or self._halves.waiting:
                self._halves.mend(chunk)
            return self._hand_on(chunk, size)
        except UNKNOWN_SHAPE:
            raise Broken("malformed", "the endpoint sent a chunk of an unknown shape") from None

    def _take_odd(self, chunk: Json, *, odd: bool) -> bool:
        """A chunk without choices, an error, or a whole answer."""
        if is_error(chunk):
            raise error_inside(chunk, self._reading.call.body)
        choices = chunk.get("choices")
        if choices is None and not chunk.get("usage"):
            # A ping in an object. Clients take no chunk without choices.
            return False
        choices = chunk["choices"] = [c for c in choices or () if c is not None]
        if failed := failed_choice(chunk):
            raise failure_of(failed)
        if choices and "message" in choices[0] and "delta" not in choices[0]:
            return self._take_whole(chunk)
        if odd or self._halves.waiting:
            self._halves.mend(chunk)
        return self._hand_on(chunk, 0)

    def _take_whole(self, whole: Json) -> bool:
        """An event that holds the whole answer."""
        if not holds_answer(whole, self._reading.call.api):
            return False
        for chunk, _ in chunks_of(whole, self._reading.call.api):
            self._hand_on(chunk, 0)
        return True

    def _hand_on(self, chunk: Json, size: int) -> bool:
        chunk["id"] = self._public_id
        if self._renames:
            self._reading.rename(chunk)
        assembly = self._assembly
        spoke = assembly.feed(chunk)
        if spoke:
            if self._answer.first_token_at is None:
                self._answer.first_token_at = datetime.now(UTC)
            if not self._goes_on and (self.finished or not assembly.unfinished):
                self._note_end(assembly)
        elif self.finished and not chunk["choices"] and chunk.get("usage"):
            self.counted = True
        if self._streamed:
            piece = Piece.CONTENT if spoke else _piece(chunk)
            if size > LARGE:
                self.is_large = self._translator is None
                for part in parts_of(chunk):
                    self._on_chunk(tolerant.write(part), piece)
            else:
                # orjson reads deeper nesting than it writes; writing refuses such a chunk.
                self._on_chunk(tolerant.write(chunk), piece)
        return spoke

    def _note_end(self, assembly: Assembly) -> None:
        if self.finished:
            self._goes_on = assembly.tokens > self._pieces
        if assembly.failed is not None:
            raise failure_of(assembly.failed)
        has_all = not assembly.unfinished and assembly.choices >= self._asked_choices()
        self.finished = has_all and not self._goes_on
        self._pieces = assembly.tokens

    def end(self, broken: Exception | None = None) -> Answer:
        """The answer, when the stream has ended.

        Raises:
            Broken: it is not complete, or there is none.
        """
        if self._translator is not None:
            for chunk in _translated(self._translator.end):
                self._take_chunk(chunk)
        assembly = self._assembly
        complete = self.finished if broken else assembly.finished
        if not self.done and not complete:
            why = f": {broken!r}" if broken else ""
            raise Broken("broken", f"the endpoint's stream ended before its answer did{why}")
        if not assembly.has_content:
            raise Broken("empty_answer", "the endpoint's stream held nothing of an answer")
        return self._whole(assembly)

    def _whole(self, assembly: Assembly) -> Answer:
        answer = self._answer
        response = assembly.response(completion=self._reading.call.api == "completion")
        answer.body = tolerant.write({**response, "id": self._public_id})
        answer.text = assembly.text
        take_usage(answer, assembly.usage, self._reading.call)
        if answer.completion_tokens is None:
            answer.completion_tokens, answer.estimated = assembly.tokens, True
        return answer

    def _asked_choices(self) -> int:
        body = self._reading.call.body
        if '"n"' not in body:
            return 1
        asked = orjson.loads(body).get("n")
        return asked if isinstance(asked, int) else 1


def _is_ping(event: Event) -> bool:
    """Whether an event without an object only says that the server is alive."""
    if event.found is None and event.payload != b"null":
        return bool(event.name) or event.payload.lower().strip(b" .:-") in _PINGS
    return not event.found or isinstance(event.found, bool | int | float)


def _piece(chunk: Json) -> Piece:
    """What a chunk holds that says nothing."""
    return Piece.USAGE if not chunk["choices"] and chunk.get("usage") else Piece.FRAME


def _translated(make: Callable[[], Iterable[Json]]) -> list[Json]:
    try:
        return list(make())
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint sent a chunk of an unknown shape") from None
