"""Calls an endpoint with the request that it takes.

What the endpoint is known to refuse is left out before the call. What it turns out to refuse is
left out of a second call in the same attempt; only if that one succeeds is it known from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import orjson

from balancing.calls.answer import Answer, OnChunk, Piece
from balancing.calls.events import LARGE
from balancing.endpoints.target import Target
from balancing.errors import CallError
from balancing.fitting.batches import Joined, parts_of
from balancing.fitting.fields import ORDINARY, RENAMED, STREAM_OPTIONS, without
from balancing.fitting.learned import Lessons
from balancing.fitting.suspects import Suspicion, suspects
from balancing.kinds import KINDS
from balancing.kinds.call import Call

Made = TypeVar("Made")
LEAST_SECONDS = 0.01


class Calls(Protocol):
    """Calls an endpoint; `balancing.calls.client.Client`."""

    async def call(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer: ...


class FittedClient:
    """A client that fits each call to its endpoint; one a worker process."""

    def __init__(self, client: Calls, lessons: Lessons) -> None:
        self._client = client
        self._lessons = lessons
        # Endpoints that have answered a stream with `stream_options`: a refusal without a word
        # is not about them.
        self._takes_options: set[int] = set()

    async def call(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer:
        """Run one request to its end, as `Client.call` does.

        Raises:
            CallError: as `Client.call`; the refusal that is left when nothing more may go.
        """
        if call.api == "embedding":
            parts = parts_of(target, call)
            if len(parts) > 1:
                return await self._joined(target, parts, on_chunk)
        return await self._one(target, call, on_chunk)

    async def _joined(self, target: Target, parts: list[Call], on_chunk: OnChunk) -> Answer:
        began, joined = time.monotonic(), Joined()
        for part in parts:
            answer = await self._one(target, _left(part, began), on_chunk)
            joined.add(answer)
        return joined.answer(answer)

    async def _one(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer:
        known = self._lessons.of(target.id)
        if known is not None:
            call = await _beside(call, _fitted, call, known)
        attempt = _Attempt(on_chunk)
        began = time.monotonic()
        try:
            answer = await self._client.call(
                target, call, attempt.heard if call.stream else on_chunk
            )
        except CallError as error:
            if attempt.spoke:
                raise
            return await self._again(target, call, attempt, error, began)
        if call.stream and known is None:
            self._takes_options.add(target.id)
        return answer

    async def _again(
        self, target: Target, call: Call, attempt: _Attempt, error: CallError, began: float
    ) -> Answer:
        """Repeat without what the refusal names, until it names nothing more that may go.

        Each field goes only once, so that the calls are bounded by the fields of the request.
        """
        body = given = await _beside(call, _object, call)
        gone: dict[str, tuple[Suspicion, CallError]] = {}
        while True:
            named = await _beside(call, suspects, error, body)
            found = [s for s in named if self._is_likely(target, s, gone)]
            if not found or attempt.spoke:
                raise error
            gone |= {suspect.field: (suspect, error) for suspect in found}
            body = without(body, [suspect.field for suspect in found])
            changed = replace(_left(call, began), body=orjson.dumps(body).decode())
            try:
                answer = await self._client.call(target, changed, attempt.heard)
            except CallError as other:
                # A guess that was wrong leaves the client with what was said first.
                error = error if found[0].is_guess and other.status == error.status else other
            else:
                if given.keys() <= ORDINARY:
                    self._learn(target, given, gone.values())
                return answer

    def _is_likely(self, target: Target, suspect: Suspicion, gone: Iterable[str]) -> bool:
        if suspect.is_guess and (
            target.id in self._takes_options or not KINDS[target.access.kind].passes_through
        ):
            return False
        return not {suspect.field, RENAMED.get(suspect.field)} & set(gone)

    def _learn(
        self,
        target: Target,
        given: dict[str, Any],
        found: Iterable[tuple[Suspicion, CallError]],
    ) -> None:
        for suspect, error in found:
            if suspect.is_of_all:
                self._lessons.learn(target.id, _model(given), suspect.field, str(error))
                if suspect.field == STREAM_OPTIONS:
                    self._takes_options.discard(target.id)


class _Attempt:
    """Knows whether the client was given anything: then nothing may be repeated."""

    __slots__ = ("_on_chunk", "spoke")

    def __init__(self, on_chunk: OnChunk) -> None:
        self._on_chunk = on_chunk
        self.spoke = False

    def heard(self, chunk: str, piece: Piece) -> None:
        self.spoke = True
        self._on_chunk(chunk, piece)


async def _beside(call: Call, work: Callable[..., Made], *given: Any) -> Made:
    """Do work on the body of a call; on a large one beside the event loop."""
    if len(call.body) > LARGE:
        return await asyncio.to_thread(work, *given)
    return work(*given)


def _fitted(call: Call, known: Any) -> Call:
    """The call without what the endpoint refuses for its model."""
    body = _object(call)
    refused = known.get(_model(body))
    if not refused:
        return call
    return replace(call, body=orjson.dumps(without(body, refused)).decode())


def _object(call: Call) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(call.body)
    return body


def _model(body: dict[str, Any]) -> str:
    return str(body.get("model") or "")


def _left(call: Call, began: float) -> Call:
    """The call with what is left of its time; its other timeouts begin anew."""
    spent, timeouts = time.monotonic() - began, call.timeouts
    total = max(timeouts.total - spent, LEAST_SECONDS)
    deadline = max(timeouts.deadline - spent, LEAST_SECONDS)
    return replace(call, timeouts=replace(timeouts, total=total, deadline=deadline))
