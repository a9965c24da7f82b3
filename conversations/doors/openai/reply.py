"""How is a submitted request answered while its job is carried out: whole, or as a stream?"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import orjson

from conversations.doors.lean import sse
from conversations.doors.lean.refusals import Refusal, of_end
from conversations.doors.lean.wire import Exchange
from conversations.doors.openai.request import Completion
from conversations.streams.waiter import Entry, Waiter
from scheduling.job_state import JobState
from scheduling.models import Priority, Status
from scheduling.outbox import DELTA, FINAL, RESET, STARTED, USAGE
from scheduling.specs import JobSpec, Receipt
from scheduling.waiting.outlook import Outlook

# A worker, or the sweep of one, ends a job at its deadline. After this nobody is left who would.
GRACE_SECONDS = 5.0
TIME_IS_UP = {"status": Status.TIMEOUT, "code": "timeout", "message": "the request's time was up"}
# Of so many comments one is preceded by a look whether the job is still held.
HELD_TICKS = 5


class Jobs(Protocol):
    """What a reply needs of the backend."""

    def entries(self, waiter: Waiter) -> AsyncIterator[list[Entry]]:
        """The entries of a job up to its end; an empty list means that it is time for a comment."""

    def outlook(self, level: Priority, model: str, fair_tag: float, job_id: UUID) -> Outlook | None:
        """Position and wait of a queued job."""

    async def stored_body(self, job_id: UUID) -> bytes:
        """The stored answer of a completed job."""

    async def state(self, job_id: UUID) -> JobState | None:
        """How a job stands in the database."""

    async def cancel(self, job_id: UUID) -> None:
        """End a job that nobody waits for any more."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A request, the stored job that it became, and the waiter for its answer.

    Attributes:
        early_headers_seconds: when the headers of an unstreamed answer come without it; 0 is never.
    """

    request: Completion
    spec: JobSpec
    receipt: Receipt
    waiter: Waiter
    early_headers_seconds: float = 0.0


class Reply:
    def __init__(self, jobs: Jobs, exchange: Exchange, submitted: Submitted) -> None:
        self._jobs = jobs
        self._exchange = exchange
        self._request = submitted.request
        self._spec = submitted.spec
        self._receipt = submitted.receipt
        self._waiter = submitted.waiter
        self._early_at = time.monotonic() + (submitted.early_headers_seconds or math.inf)
        self._over_at = time.monotonic() + _seconds_to(submitted.spec.deadline_at) + GRACE_SECONDS
        self._speaking = 0
        self._started: dict[str, Any] | None = None
        self._held_reason = self._receipt.held_reason
        self._ticks = 0

    async def whole(self) -> None:
        async for entries in self._jobs.entries(self._waiter):
            for entry in entries:
                if entry.event == FINAL:
                    await self._finish_whole(orjson.loads(entry.data))
            if not entries:
                if await self._is_over():
                    return
                if time.monotonic() >= self._early_at:
                    await self._keep_open()

    async def _keep_open(self) -> None:
        """Begin the answer, which fixes its status, and write white space in front of its JSON."""
        if not self._exchange.begun:
            await self._exchange.start_json(self._headers({}))
        await self._exchange.write(b" ")

    async def stream(self) -> None:
        async for entries in self._jobs.entries(self._waiter):
            for entry in entries:
                if entry.event == STARTED:
                    self._started = orjson.loads(entry.data)
            if self._starts_over(entries):
                await self._break_off()
                return
            chunks = [e.data for e in entries if self._passes(e)]
            if chunks:
                text = "".join([f"data: {chunk}\n\n" for chunk in chunks])
                await self._write(text.encode())
            elif not entries:
                if await self._is_over():
                    return
                await self._look_whether_held()
                await self._write(sse.comment(self._waiting()))
            if entries and entries[-1].event == FINAL:
                await self._finish_stream(orjson.loads(entries[-1].data))

    async def _is_over(self) -> bool:
        """Whether the time is up and nobody has ended the job, as without any worker.

        The client is told. The job ends when a worker is there again, without being run.
        """
        if time.monotonic() < self._over_at:
            return False
        await self._exchange.refuse(of_end(TIME_IS_UP), self._headers(self._started or {}))
        return True

    def _starts_over(self, entries: list[Entry]) -> bool:
        """Whether another attempt begins although text of an earlier one has been sent."""
        for entry in entries:
            if self._speaking not in (0, entry.attempt) and entry.event in (STARTED, DELTA, RESET):
                return True
            if entry.event == DELTA:
                self._speaking = entry.attempt
        return False

    async def _break_off(self) -> None:
        """End the stream with an error, and the job too: a stream never has two answers."""
        refusal = Refusal(502, "attempt_lost", "the worker went away in the middle of the answer")
        await self._exchange.refuse(refusal, self._headers(self._started or {}))
        await self._jobs.cancel(self._spec.id)

    def _passes(self, entry: Entry) -> bool:
        return entry.event == DELTA or (entry.event == USAGE and self._request.wants_usage)

    async def _look_whether_held(self) -> None:
        """Nothing announces that a held job may run now: it is looked up now and then."""
        self._ticks += 1
        if self._held_reason and self._started is None and not self._ticks % HELD_TICKS:
            state = await self._jobs.state(self._spec.id)
            self._held_reason = state.held_reason if state else self._held_reason

    def _waiting(self) -> str:
        if self._started is not None:
            return "processing"
        if self._held_reason:
            return f"held reason={self._held_reason}"
        outlook = self._outlook()
        if outlook is None:
            return "queued"
        eta = "" if outlook.wait_seconds is None else f" eta={outlook.wait_seconds:.1f}s"
        paused = " reason=paused" if outlook.is_paused else ""
        return f"queued position={outlook.position}{eta}{paused}"

    def _outlook(self) -> Outlook | None:
        spec, tag = self._spec, self._receipt.fair_tag
        return self._jobs.outlook(spec.level, spec.model, tag, spec.id)

    async def _write(self, body: bytes) -> None:
        if not self._exchange.begun:
            headers = self._headers(self._started or {})
            await self._exchange.start(200, [*sse.STREAM, *headers])
        await self._exchange.write(body)

    def _headers(self, end: dict[str, Any]) -> list[tuple[str, str]]:
        headers = [
            ("x-request-id", self._spec.request_id),
            ("x-llmqueue-job", str(self._spec.id)),
            ("x-llmqueue-priority", self._spec.level.queue),
        ]
        if "queue_ms" in end:
            headers.append(("x-llmqueue-queue-ms", str(end["queue_ms"])))
        if end.get("endpoint"):
            headers.append(("x-llmqueue-endpoint", end["endpoint"]))
        if not end and not self._held_reason and (outlook := self._outlook()):
            headers += _outlook_headers(outlook)
        if end.get("model"):
            name = end["model"].encode("ascii", "replace").decode()
            headers.append(("x-llmqueue-model", name))
        return headers

    async def _finish_whole(self, end: dict[str, Any]) -> None:
        if end["status"] == Status.COMPLETED:
            await self._exchange.answer(200, await self._body(end), self._headers(end))
        else:
            await self._exchange.refuse(of_end(end), self._headers(end))

    async def _body(self, end: dict[str, Any]) -> bytes:
        """The answer; a large one is not in the entry but in PostgreSQL."""
        if end.get("body") is not None:
            body: str = end["body"]
            return body.encode()
        return await self._jobs.stored_body(self._spec.id)

    async def _finish_stream(self, end: dict[str, Any]) -> None:
        if end["status"] != Status.COMPLETED:
            await self._exchange.refuse(of_end(end), self._headers(end))
            return
        last = f"queue_ms={end.get('queue_ms', 0)} endpoint={end.get('endpoint', '')}"
        await self._write(b"data: [DONE]\n\n" + sse.comment(last))
        await self._exchange.write(b"", more=False)


def _seconds_to(deadline: datetime | None) -> float:
    return math.inf if deadline is None else (deadline - datetime.now(UTC)).total_seconds()


def _outlook_headers(outlook: Outlook) -> list[tuple[str, str]]:
    """For answers that begin while the request still waits."""
    headers = [("x-llmqueue-position", str(outlook.position))]
    if outlook.wait_seconds is not None:
        headers.append(("x-llmqueue-estimated-wait", f"{outlook.wait_seconds:.1f}"))
    return headers
