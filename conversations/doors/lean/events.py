"""`GET /api/v1/messages/{id}/events`: the life of a message's request as server-sent events.

Event id is `attempt.seq`; `Last-Event-ID` resumes behind it. Events: queued, started, delta,
reset (a further attempt starts over), completed, error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

from conversations.doors.lean import wire
from conversations.doors.lean.door import Door
from conversations.doors.lean.errors import ApiError
from conversations.doors.lean.wire import HungUp, Receive, Scope, Send
from conversations.doors.openai.completions import STREAM
from conversations.streams.listener import START, Entry, Mark, Waiter, sse
from scheduling.models import Priority, Status
from scheduling.outbox import DELTA, FINAL, RESET, STARTED
from stores.postgres import read

# Within 64 bits, or Valkey would refuse the id it becomes.
_MARK = re.compile(r"[0-9]{1,9}\.[0-9]{1,18}")
MESSAGE = """
select j.id, j.status, j.held_reason, j.level, j.model, j.fair_tag
  from conversations_message m join scheduling_job j on j.id = m.job_id
 where m.id = %(id)s and m.tenant_id = %(tenant)s
   and (%(user)s::uuid is null or m.user_id = %(user)s::uuid)
"""


async def serve(door: Door, name: str, scope: Scope, receive: Receive, send: Send) -> None:
    caller = await door.caller(wire.header(scope, "authorization"), wire.header(scope, "x-api-key"))
    # A client key that is bound to a user sees that user's messages only.
    bound = None if caller.operator else caller.user_id
    values = {"id": _identifier(name), "tenant": caller.tenant_id, "user": bound}
    rows = await read(door.database.relaxed, MESSAGE, values)
    if not rows:
        raise ApiError(404, "message_not_found", "there is no such message")
    waiter = door.listener.follow(rows[0][0], _resume_mark(wire.header(scope, "last-event-id")))
    try:
        await wire.start(send, 200, STREAM)
        await wire.unless_hung_up(receive, _follow(door, waiter, rows[0], send))
    except HungUp:
        return
    finally:
        door.listener.forget(waiter)


def _identifier(name: str) -> UUID:
    try:
        return UUID(name.removeprefix("msg_"))
    except ValueError:
        raise ApiError(404, "message_not_found", "there is no such message") from None


def _resume_mark(value: str) -> Mark:
    attempt, _, seq = value.partition(".")
    if _MARK.fullmatch(value):
        return (int(attempt), int(seq))
    return START


async def _follow(door: Door, waiter: Waiter, row: tuple[Any, ...], send: Send) -> None:
    status = row[1]
    waiting = status in (Status.QUEUED, Status.HELD)
    telling = _Telling(waiter.mark)
    if waiting:
        await wire.write(send, _queued(door, *row[2:]))
    tick = door.config.web.comment_seconds
    async for entries in door.listener.entries(waiter, tick_seconds=tick):
        if entries:
            waiting = False
            await wire.write(send, telling.render(entries))
        elif waiting:
            await wire.write(send, _queued(door, *row[2:]))
        else:
            await wire.write(send, b": processing\n\n")
    await wire.write(send, b"", more=False)


def _queued(door: Door, held_reason: str, number: int, model: str, fair_tag: float) -> bytes:
    level = Priority(number)
    state: dict[str, Any] = {"priority": level.queue}
    if held_reason:
        state["held"] = held_reason
    elif look := door.outlook(level, model, fair_tag):
        state |= {"position": look.position, "eta": look.wait_seconds}
    return sse(orjson.dumps(state).decode(), event="queued")


class _Telling:
    """What one client has been told: never the texts of two attempts without a reset between."""

    def __init__(self, after: Mark) -> None:
        self._resumed = after != START
        self._speaking = after[0]
        self._told = False

    def render(self, entries: list[Entry]) -> bytes:
        return b"".join(part for entry in entries for part in self._render(entry))

    def _render(self, entry: Entry) -> Iterator[bytes]:
        identifier = f"{entry.attempt}.{entry.seq}"
        if entry.event in (STARTED, DELTA) and self._speaking not in (0, entry.attempt):
            # The attempt before was lost with its worker, which could not say so.
            yield sse("{}", event="reset", identifier=f"{entry.attempt}.0")
        if entry.event in (STARTED, DELTA):
            self._speaking = entry.attempt
        if entry.event == STARTED:
            yield sse(entry.data, event="started", identifier=identifier)
        elif entry.event == DELTA:
            self._told = True
            if text := _text(orjson.loads(entry.data)):
                yield sse(_json(content=text), event="delta", identifier=identifier)
        elif entry.event == RESET:
            self._speaking, self._told = 0, False
            yield sse("{}", event="reset", identifier=identifier)
        elif entry.event == FINAL:
            yield from self._end(orjson.loads(entry.data), identifier)

    def _end(self, end: dict[str, Any], identifier: str) -> Iterator[bytes]:
        if end["status"] != Status.COMPLETED:
            error = {name: end.get(name) for name in ("status", "code", "message")}
            yield sse(_json(**error), event="error", identifier=identifier)
            return
        if not self._told and end.get("text"):
            # The stream has expired; the stored answer has not.
            if self._resumed:
                yield sse("{}", event="reset", identifier=identifier)
            yield sse(_json(content=end["text"]), event="delta", identifier=identifier)
        summary = {key: end[key] for key in ("status", "queue_ms", "endpoint") if key in end}
        yield sse(_json(**summary), event="completed", identifier=identifier)


def _text(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or ()
    delta = choices[0].get("delta") if choices else None
    content = (delta or {}).get("content")
    return content if isinstance(content, str) else ""


def _json(**fields: Any) -> str:
    return orjson.dumps(fields).decode()
