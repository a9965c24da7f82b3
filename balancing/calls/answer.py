"""What a call asks of an endpoint, and how its answer is read: streamed or whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import aiohttp
import orjson

from balancing.calls.assembly import Assembly
from balancing.endpoints.access import Access
from balancing.errors import Broken, CallError, TimedOut, Unavailable

if TYPE_CHECKING:
    from balancing.kinds.contract import Translator

LARGEST_ANSWER = 64 * 1024 * 1024
# What code that reads JSON of an expected shape raises on another one.
UNKNOWN_SHAPE = (AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the endpoint's operations and the prefix of the ids it answers with."""

    path: str
    id_prefix: str


KINDS = {
    "chat": Kind("/chat/completions", "chatcmpl-"),
    "completion": Kind("/completions", "cmpl-"),
    "embedding": Kind("/embeddings", "embd-"),
}


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; `total` includes the rest."""

    connect: float
    first_token: float
    stall: float
    total: float

    def of(self, access: Access) -> Timeouts:
        """These, with the endpoint's own where it has some; none outlasts the total."""
        return Timeouts(
            access.connect_timeout or self.connect,
            access.first_token_timeout or self.first_token,
            access.stall_timeout or self.stall,
            min(access.total_timeout or self.total, self.total),
        )


@dataclass(frozen=True, slots=True)
class Call:
    """One request to one endpoint. `body` is sent as it is.

    `model` is the client's name of the model where the endpoint has another; else empty.
    """

    job_id: UUID
    api: str
    body: str
    stream: bool
    timeouts: Timeouts
    model: str = ""

    @property
    def public_id(self) -> str:
        return KINDS[self.api].id_prefix + self.job_id.hex


@dataclass(slots=True)
class Answer:
    """What came back: the response object as JSON text, its first choice's text, its usage."""

    body: str = ""
    text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    first_token_at: datetime | None = None

    @property
    def tokens(self) -> int | None:
        """All that were read and generated; None when the endpoint did not count its input."""
        if self.prompt_tokens is None:
            return None
        return self.prompt_tokens + (self.completion_tokens or 0)


# Called with each chunk as JSON text, and whether it is nothing but the final usage.
OnChunk = Callable[[str, bool], None]


class Guard:
    """One timer for the phases of a call, moved forward as it proceeds."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + timeouts.total
        self.phase = "connect"
        # Endpoints that answer whole send no headers before they are done, so the wait for
        # headers is a wait for the first token.
        self.timeout = asyncio.timeout_at(min(self._end, self._now() + timeouts.first_token))

    def accepted(self) -> None:
        self.phase = "first_token"

    def progressed(self) -> None:
        self.phase = "stall"
        self.timeout.reschedule(min(self._end, self._now() + self._timeouts.stall))

    def error(self) -> CallError:
        if self._now() >= self._end - 0.01:
            return TimedOut("total_timeout", f"no answer within {self._timeouts.total:g} s")
        if self.phase == "stall":
            return TimedOut("stalled", f"no token for {self._timeouts.stall:g} s")
        return TimedOut("first_token_timeout", f"no token within {self._timeouts.first_token:g} s")


async def read_stream(
    response: aiohttp.ClientResponse,
    call: Call,
    on_chunk: OnChunk,
    guard: Guard,
    translator: Translator | None = None,
) -> Answer:
    """Read server-sent events to their end; a `translator` makes OpenAI's of another provider's."""
    assembly, answer = Assembly(), Answer()
    rest, read, done = b"", 0, False
    while not done:
        data = await response.content.readany()
        if not data:
            break
        guard.progressed()
        read += len(data)
        if read > LARGEST_ANSWER:
            raise Broken("too_large", "the endpoint's answer is too large")
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                payload = line[5:].strip()
                if payload == b"[DONE]":
                    done = True
                elif payload and translator is None:
                    _take_chunk(_object(payload), payload, call, assembly, answer, on_chunk)
                elif payload and translator is not None:
                    for chunk in _translated(partial(translator.feed, _object(payload))):
                        _take_chunk(chunk, b"", call, assembly, answer, on_chunk)
                    done = translator.done
    if translator is not None:
        for chunk in _translated(translator.end):
            _take_chunk(chunk, b"", call, assembly, answer, on_chunk)
    if not done and not assembly.finished:
        raise Broken("broken", "the endpoint's stream ended before its answer did")
    answer.body = orjson.dumps({**assembly.response(), "id": call.public_id}).decode()
    answer.text = assembly.text
    _take_usage(answer, assembly.usage)
    if answer.completion_tokens is None:
        answer.completion_tokens = assembly.tokens
    return answer


def _object(payload: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise Broken("malformed", "the endpoint sent a chunk that is not JSON") from None
    if not isinstance(found, dict):
        raise Broken("malformed", "the endpoint sent a chunk that is not an object")
    return found


def _translated(make: Callable[[], Iterable[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return list(make())
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint sent a chunk of an unknown shape") from None


def _take_chunk(
    chunk: dict[str, Any],
    payload: bytes,
    call: Call,
    assembly: Assembly,
    answer: Answer,
    on_chunk: OnChunk,
) -> None:
    if chunk.get("error"):
        raise Unavailable(
            "endpoint_error", message_of(chunk), body=payload.decode("utf-8", "replace")
        )
    chunk["id"] = call.public_id
    _rename(chunk, call)
    try:
        spoke = assembly.feed(chunk)
        # Refuses what is nested deeper than it may be written, though it could be read.
        text = orjson.dumps(chunk).decode()
    except (AttributeError, KeyError, TypeError):
        raise Broken("malformed", "the endpoint sent a chunk of an unknown shape") from None
    if spoke and answer.first_token_at is None:
        answer.first_token_at = datetime.now(UTC)
    on_chunk(text, not chunk.get("choices") and "usage" in chunk)


def _rename(answer: dict[str, Any], call: Call) -> None:
    """An alias stays one: the answer speaks of the model by the client's name."""
    if call.model and "model" in answer:
        answer["model"] = call.model


async def read_whole(
    response: aiohttp.ClientResponse,
    call: Call,
    on_chunk: OnChunk,
    guard: Guard,
    translate: Callable[[dict[str, Any], Call], dict[str, Any]] | None = None,
) -> Answer:
    """Read one JSON object; `translate` makes OpenAI's of another provider's."""
    try:
        data = await read_at_most(response, LARGEST_ANSWER)
        whole = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Broken("malformed", "the endpoint's answer is not JSON") from None
    guard.progressed()
    if not isinstance(whole, dict):
        raise Broken("malformed", "the endpoint's answer is not an object")
    if whole.get("error"):
        raise Unavailable("endpoint_error", message_of(whole), body=data.decode("utf-8", "replace"))
    if translate is not None:
        try:
            whole = translate(whole, call)
        except UNKNOWN_SHAPE:
            raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    if "id" in whole:
        whole["id"] = call.public_id
    _rename(whole, call)
    try:
        body = orjson.dumps(whole).decode()
        chunk = orjson.dumps(_as_chunk(whole)).decode() if call.stream else ""
    except UNKNOWN_SHAPE:
        raise Broken("malformed", "the endpoint's answer has an unknown shape") from None
    answer = Answer(body=body, text=_text(whole), first_token_at=datetime.now(UTC))
    _take_usage(answer, whole.get("usage"))
    if chunk:
        on_chunk(chunk, False)
    return answer


async def read_at_most(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """The body to its end, or its first `limit` bytes and a little more."""
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := await response.content.readany()):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _text(whole: dict[str, Any]) -> str:
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return ""
    message = choices[0].get("message")
    text = message.get("content") if isinstance(message, dict) else choices[0].get("text")
    return text if isinstance(text, str) else ""


def _as_chunk(whole: dict[str, Any]) -> dict[str, Any]:
    """A whole answer as the one chunk of a stream, for endpoints that do not stream."""
    choices = [
        {**{k: v for k, v in choice.items() if k != "message"}, "delta": choice.get("message", {})}
        for choice in whole.get("choices") or ()
    ]
    return {**whole, "object": "chat.completion.chunk", "choices": choices}


def _take_usage(answer: Answer, usage: Any) -> None:
    if isinstance(usage, dict):
        answer.prompt_tokens = _count(usage.get("prompt_tokens"))
        answer.completion_tokens = _count(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            answer.cached_tokens = _count(details.get("cached_tokens")) or 0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**31 else None


def message_of(parsed: Any) -> str:
    """The text of an endpoint's error object, empty when it has none."""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else None
    text = error.get("message") if isinstance(error, dict) else error
    return text[:1000] if isinstance(text, str) else ""
