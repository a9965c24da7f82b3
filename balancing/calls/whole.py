"""Reads an answer that comes in one piece: one JSON object."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from balancing.calls import tolerant
from balancing.calls.answer import Answer, Piece
from balancing.calls.chunks import chunks_of, parts_of, text_of
from balancing.calls.events import LARGE, JsonLines, begins_with_a_chunk, is_chunk
from balancing.calls.reading import GRACE_SECONDS, Body, Reading
from balancing.calls.refusals import error_inside, failure_of, is_error
from balancing.calls.skimming import Skimmed, is_whole, skim
from balancing.calls.soundness import failed_choice, holds_answer
from balancing.calls.stream import read_stream
from balancing.calls.usage import take_usage
from balancing.errors import UNKNOWN_SHAPE, Broken
from balancing.kinds.assembly import Assembly

Json = dict[str, Any]
_Streamed = list[tuple[str, Piece]]


async def read_whole(body: Body, head: bytes, reading: Reading) -> Answer:
    """Read one JSON object; a client that asked for a stream gets it as chunks.

    Raises:
        Broken: the body is not JSON, holds no answer, or has an unknown shape.
        Unavailable: the body reports a failure.
    """
    data = _lines_or_object(head) if body.ended else await _gathered(body, head)
    if isinstance(data, _Lines):
        return await read_stream(body, JsonLines(), data, reading)
    if len(data) > LARGE:
        answer, streamed = await asyncio.to_thread(_answer_of, data, body.broken, reading)
    else:
        answer, streamed = _answer_of(data, body.broken, reading)
    for chunk, piece in streamed:
        reading.on_chunk(chunk, piece)
    return answer


class _Lines(bytes):
    """The beginning of a stream of JSON lines."""


def _lines_or_object(data: bytes) -> bytes:
    return _Lines(data) if b"\n" in data and begins_with_a_chunk(data) else data


async def _gathered(body: Body, head: bytes) -> bytes | bytearray:
    """The bytes of the object, without waiting long for an end that does not come.

    They grow in place: to join tens of megabytes at once would take a tenth of a second.
    """
    data: bytes | None = head
    gathered, has_line, closed_at = bytearray(), False, math.inf
    now = asyncio.get_running_loop().time
    while True:
        if data is None:
            if await _is_complete(gathered):
                return gathered
            closed_at = math.inf
        elif not data:
            return gathered or head
        elif not data.isspace():
            if not has_line and b"\n" in data:
                has_line = True
                first = bytes(gathered) + data
                if begins_with_a_chunk(first):
                    return _Lines(first)
            gathered += data
            closed_at = now() if data.rstrip().endswith((b"}", b"]")) else math.inf
        if closed_at == math.inf:
            data = await body.read()
        else:
            data = await body.read_until(closed_at + GRACE_SECONDS)


async def _is_complete(data: bytes | bytearray) -> bool:
    if len(data) > LARGE:
        return await asyncio.to_thread(is_whole, data)
    try:
        tolerant.read(data)
    except ValueError:
        return False
    return True


def _answer_of(
    data: bytes | bytearray, broken: Exception | None, reading: Reading
) -> tuple[Answer, _Streamed]:
    """The answer, and its chunks if the client asked for a stream."""
    skimmed = skim(data) if len(data) > LARGE and reading.call.api == "embedding" else None
    if skimmed is not None and reading.kind.passes_through:
        with suppress(UnicodeDecodeError):
            return _passed_on(skimmed, reading), []
    found = _object_in(data, broken)
    if is_error(found):
        raise error_inside(found, reading.call.body)
    whole = _translated(found, reading)
    if reading.call.api == "chat":
        _mend_messages(whole)
    if failed := failed_choice(whole):
        raise failure_of(failed)
    if not holds_answer(whole, reading.call.api):
        raise Broken("empty_answer", "the endpoint's answer holds nothing that a client could use")
    streamed = _streamed(whole, reading) if reading.call.stream else []
    answer = Answer(body=_written(whole), text=text_of(whole), first_token_at=datetime.now(UTC))
    answer.text = tolerant.whole(answer.text)
    take_usage(answer, whole.get("usage"), reading.call)
    return answer, streamed


def _mend_messages(whole: Json) -> None:
    """Each choice gets a message that clients can read; numbers and lone texts become texts."""
    choices = whole.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict):
            if type(message.get("content")) in (int, float):
                message["content"] = str(message["content"])
        elif isinstance(choice, dict):
            text = message if isinstance(message, str) else choice.get("text")
            choice["message"] = {"role": "assistant", "content": text}


def _passed_on(skimmed: Skimmed, reading: Reading) -> Answer:
    """Vectors that are handed on as they came, because reading them would take long."""
    changed: Json = {}
    if "id" in skimmed.members:
        changed["id"] = reading.call.public_id
    if reading.call.model and "model" in skimmed.members:
        changed["model"] = reading.call.model
    answer = Answer(body=skimmed.written(changed), first_token_at=datetime.now(UTC))
    take_usage(answer, skimmed.value("usage"), reading.call)
    return answer


def _object_in(data: bytes | bytearray, broken: Exception | None) -> Json:
    """The object of a body; a list of one is that one, a list of chunks their whole."""
    try:
        found = tolerant.read(data)
    except ValueError:
        if broken is not None:
            raise Broken("broken", f"the endpoint's answer broke off: {broken!r}") from None
        raise Broken("malformed", "the endpoint's answer is not JSON") from None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if isinstance(found, dict) and is_chunk(found):
        found = [found]
    if isinstance(found, list) and found and all(is_chunk(each) for each in found):
        return _assembled(found)
    if not isinstance(found, dict):
        raise Broken("malformed", "the endpoint's answer is not an object")
    return found


def _assembled(chunks: list[Json]) -> Json:
    assembly = Assembly()
    try:
        for chunk in chunks:
            assembly.feed(chunk)
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    return assembly.response()


def _translated(found: Json, reading: Reading) -> Json:
    try:
        whole = reading.kind.whole(found, reading.call)
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    if "id" in whole:
        whole["id"] = reading.call.public_id
    reading.rename(whole)
    return whole


def _streamed(whole: Json, reading: Reading) -> _Streamed:
    try:
        chunks = list(chunks_of(whole, reading.call.api))
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    parts = ((part, piece) for chunk, piece in chunks for part in parts_of(chunk))
    return [(_written(part), piece) for part, piece in parts]


def _written(value: Json) -> str:
    try:
        return tolerant.write(value)
    except TypeError:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
