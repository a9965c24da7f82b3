"""Answers that are read without a network: bytes handed in part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast
from uuid import uuid4

import orjson

from balancing.calls.answer import Answer
from balancing.calls.reader import read_answer
from balancing.calls.reading import Body, Reading
from balancing.calls.timer import CallTimer
from balancing.kinds import KINDS
from balancing.kinds.call import Call
from tests.unit.balancing.calls.scripted import PATIENT, Chunks

BODIES: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "completion": {"model": "m", "prompt": "hello"},
    "embedding": {"model": "m", "input": "hello"},
}


class FedBody(Body):
    """The parts, and then the end: clean, by a break, or by silence."""

    def __init__(
        self, parts: Sequence[bytes], *, breaks: bool = False, silent: bool = False
    ) -> None:
        self.broken = None
        self._parts = list(parts)
        self._breaks = breaks
        self._silent = silent

    @property
    def ended(self) -> bool:
        return False

    async def read(self) -> bytes:
        while self._parts:
            if part := self._parts.pop(0):
                return part
        if self._silent:
            raise AssertionError("an answer that is complete is not waited for")
        if self._breaks:
            self.broken = ConnectionResetError()
        return b""

    async def read_until(self, end: float) -> bytes | None:
        return None if self._silent and not any(self._parts) else await self.read()


def asked(api: str = "chat", *, stream: bool = False, **fields: Any) -> Call:
    body = orjson.dumps({**BODIES[api], **fields}).decode()
    return Call(uuid4(), api, body, stream, PATIENT)


async def fed(
    *parts: bytes,
    call: Call | None = None,
    stream: bool = False,
    chunks: Chunks | None = None,
    labelled: bool = False,
    kind: str = "openai",
    **end: bool,
) -> Answer:
    """What is read of these parts."""
    reading = Reading(
        call or asked(stream=stream), KINDS[kind], chunks or Chunks(), cast("CallTimer", None)
    )
    return await read_answer(FedBody(parts, **end), reading, labelled=labelled)


def frame(payload: Any) -> bytes:
    data = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    return b"data: " + data + b"\n\n"


def frames(*payloads: Any, done: bool = True) -> bytes:
    return b"".join(map(frame, payloads)) + (frame(b"[DONE]") if done else b"")


def delta(index: int | None = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    """A chunk with one choice."""
    return {"choices": [{"index": index, "delta": fields, "finish_reason": finish}]}


def message_of(answer: Answer) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(answer.body)["choices"][0]["message"]
    return found
