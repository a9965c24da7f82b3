"""`POST /v1/chat/completions`, `/v1/completions` and `/v1/embeddings`: through the queue."""

from __future__ import annotations

from typing import Any

import orjson

from conversations.access.keys import Caller
from conversations.doors.lean import wire
from conversations.doors.lean.door import Door
from conversations.doors.lean.errors import ApiError, of_end
from conversations.doors.lean.wire import HungUp, Receive, Scope, Send
from conversations.doors.openai import ruling
from conversations.doors.openai.request import Completion, parse
from conversations.priority.classify import Choice, Standing, UnknownPriority, asked_level, choose
from conversations.streams.listener import Entry, Waiter, sse, sse_comment
from llmqueue_project.logging import request_id as usable_request_id
from scheduling.outbox import DELTA, FINAL, RESET, STARTED, USAGE
from scheduling.specs import JobSpec, Receipt
from scheduling.waiting.outlook import Outlook

STREAM = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
)


async def serve(door: Door, api: str, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request; a client that hangs up cancels its job."""
    request_id = usable_request_id(wire.header(scope, "x-request-id"))
    named = [("x-request-id", request_id)]
    try:
        caller = await door.caller(
            wire.header(scope, "authorization"), wire.header(scope, "x-api-key")
        )
        raw = await wire.read_body(scope, receive, door.config.web.max_body_bytes)
        request = parse(raw, api)
        choice = await _choice(door, request, wire.header(scope, "x-priority"), caller)
        session = wire.header(scope, "x-session-id")
        spec = await door.spec(caller, request, choice, request_id, session)
    except ApiError as error:
        await wire.refuse(send, error, named)
        return
    waiter = door.listener.expect(spec.id)
    try:
        receipt = await door.submit(spec)
        reply = _Reply(door, request, spec, receipt, waiter, send)
        await wire.unless_hung_up(receive, reply.stream() if request.stream else reply.whole())
    except HungUp:
        await door.intake.cancel(spec.id)
    finally:
        door.listener.forget(waiter)


async def _choice(door: Door, request: Completion, header: str, caller: Caller) -> Choice:
    try:
        asked = asked_level(request.fields, header)
    except UnknownPriority as error:
        raise ApiError(400, "invalid_priority", str(error), param=error.field) from None
    return choose(
        asked,
        applying=(await door.rules.book()).of(caller.tenant_id),
        about=lambda: ruling.about(request.fields),
        standing=Standing(caller.user_level, caller.default_level, caller.highest_level),
    )


def outlook_headers(look: Outlook) -> list[tuple[str, str]]:
    """For answers that begin while the request still waits."""
    headers = [("x-llmqueue-position", str(look.position))]
    if look.wait_seconds is not None:
        headers.append(("x-llmqueue-estimated-wait", f"{look.wait_seconds:.1f}"))
    return headers


class _Reply:
    """The answer to one submitted request."""

    def __init__(
        self,
        door: Door,
        request: Completion,
        spec: JobSpec,
        receipt: Receipt,
        waiter: Waiter,
        send: Send,
    ) -> None:
        self._door = door
        self._request = request
        self._spec = spec
        self._receipt = receipt
        self._waiter = waiter
        self._send = send
        self._begun = False
        self._speaking = 0
        self._started: dict[str, Any] | None = None

    async def whole(self) -> None:
        async for entries in self._entries():
            for entry in entries:
                if entry.event == FINAL:
                    await self._finish_whole(orjson.loads(entry.data))

    async def stream(self) -> None:
        async for entries in self._entries():
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
                await self._write(sse_comment(self._waiting()))
            if entries and entries[-1].event == FINAL:
                await self._finish_stream(orjson.loads(entries[-1].data))

    def _starts_over(self, entries: list[Entry]) -> bool:
        """Whether another attempt begins after text of an earlier one went out."""
        for entry in entries:
            if self._speaking not in (0, entry.attempt) and entry.event in (STARTED, DELTA, RESET):
                return True
            if entry.event == DELTA:
                self._speaking = entry.attempt
        return False

    async def _break_off(self) -> None:
        """Never two answers in one stream: end it with an error, and the job with it."""
        error = ApiError(502, "attempt_lost", "the worker went away in the middle of the answer")
        if self._begun:
            await wire.write(self._send, sse(error.body().decode()), more=False)
        else:
            await wire.refuse(self._send, error, self._headers(self._started or {}))
        await self._door.intake.cancel(self._spec.id)

    def _entries(self) -> Any:
        tick = self._door.config.web.comment_seconds
        return self._door.listener.entries(self._waiter, tick_seconds=tick)

    def _passes(self, entry: Entry) -> bool:
        return entry.event == DELTA or (entry.event == USAGE and self._request.wants_usage)

    def _waiting(self) -> str:
        if self._started is not None:
            return "processing"
        if self._receipt.held_reason:
            return f"held reason={self._receipt.held_reason}"
        look = self._outlook()
        if look is None:
            return "queued"
        eta = "" if look.wait_seconds is None else f" eta={look.wait_seconds:.1f}s"
        return f"queued position={look.position}{eta}"

    def _outlook(self) -> Outlook | None:
        spec, tag = self._spec, self._receipt.fair_tag
        return self._door.outlook(spec.level, spec.model, tag)

    async def _write(self, body: bytes) -> None:
        if not self._begun:
            self._begun = True
            await wire.start(self._send, 200, [*STREAM, *self._headers(self._started or {})])
        await wire.write(self._send, body)

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
        if not end and not self._receipt.held_reason and (look := self._outlook()):
            headers += outlook_headers(look)
        if end.get("model"):
            name = end["model"].encode("ascii", "replace").decode()
            headers.append(("x-llmqueue-model", name))
        return headers

    async def _finish_whole(self, end: dict[str, Any]) -> None:
        if end["status"] == "completed":
            await wire.answer(self._send, 200, end["body"].encode(), self._headers(end))
        else:
            await wire.refuse(self._send, of_end(end), self._headers(end))

    async def _finish_stream(self, end: dict[str, Any]) -> None:
        if end["status"] != "completed":
            error = of_end(end)
            if not self._begun:
                await wire.refuse(self._send, error, self._headers(end))
                return
            await wire.write(self._send, sse(error.body().decode()), more=False)
            return
        last = f"queue_ms={end.get('queue_ms', 0)} endpoint={end.get('endpoint', '')}"
        await self._write(b"data: [DONE]\n\n" + sse_comment(last))
        await wire.write(self._send, b"", more=False)
