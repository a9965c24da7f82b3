"""Reads an answer that is not streamed: one JSON object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from balancing.calls.answer import Answer, Piece
from balancing.calls.reading import Reading, object_of, read_answer
from balancing.calls.refusals import error_inside
from balancing.errors import UNKNOWN_SHAPE, Broken


async def read_whole(response: aiohttp.ClientResponse, reading: Reading) -> Answer:
    """Read one JSON object; a client that asked for a stream gets it as one chunk.

    Raises:
        Broken: the body is not JSON, or has an unknown shape.
        Unavailable: the body reports a failure.
    """
    data = await read_answer(response)
    found = object_of(data, "the endpoint's answer")
    reading.timer.progressed()
    if found.get("error"):
        raise error_inside(found, data.decode("utf-8", "replace"))
    whole = _translated(found, reading)
    try:
        body = orjson.dumps(whole).decode()
        chunk = orjson.dumps(_as_chunk(whole)).decode() if reading.call.stream else ""
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    answer = Answer(body=body, text=_text(whole), first_token_at=datetime.now(UTC))
    answer.take_usage(whole.get("usage"))
    if chunk:
        reading.on_chunk(chunk, Piece.CONTENT)
    return answer


def _translated(found: dict[str, Any], reading: Reading) -> dict[str, Any]:
    try:
        whole = reading.kind.whole(found, reading.call)
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    if "id" in whole:
        whole["id"] = reading.call.public_id
    reading.rename(whole)
    return whole


def _text(whole: dict[str, Any]) -> str:
    """The text of the first choice."""
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ""
    message = choices[0].get("message")
    text = message.get("content") if isinstance(message, dict) else choices[0].get("text")
    return text if isinstance(text, str) else ""


def _as_chunk(whole: dict[str, Any]) -> dict[str, Any]:
    """The answer as the only chunk of a stream."""
    choices = [
        {**{k: v for k, v in choice.items() if k != "message"}, "delta": choice.get("message", {})}
        for choice in whole.get("choices") or ()
    ]
    return {**whole, "object": "chat.completion.chunk", "choices": choices}
