"""`GET /api/v1/messages/{id}/events`: the life of a message's request as server-sent events.

The events are queued, started, delta, reset (a further attempt starts over), completed and error.
An event's id is `attempt.seq`; `Last-Event-ID` resumes behind it. The lean application serves this
path, because the connection stays open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

from conversations.access.users import bound_to
from conversations.doors.lean import sse
from conversations.doors.lean.backend import Backend
from conversations.doors.lean.leaving import ShuttingDown
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.routes import Door, Route
from conversations.doors.lean.wire import Exchange, HungUp
from conversations.doors.rest.protocol import ids
from conversations.doors.rest.protocol.lean_errors import RestErrors
from conversations.streams.waiter import START, Entry, Mark, Waiter
from scheduling import job_state
from scheduling.job_state import JobState
from scheduling.models import Held, Status
from scheduling.outbox import DELTA, FINAL, RESET, STARTED
from stores.postgres import read

# Both numbers fit into 64 bits: Valkey refuses stream ids with larger ones.
# Of so many events one is preceded by a look whether the job is still held.
HELD_TICKS = 5
GOES_ON = "the request goes on: reconnect with Last-Event-ID"
_MARK = re.compile(r"[0-9]{1,9}\.[0-9]{1,18}")
JOB_OF_MESSAGE = """
select job_id from conversations_message
 where id = %(id)s and tenant_id = %(tenant)s and job_id is not null
   and (%(user)s::uuid is null or user_id = %(user)s::uuid)
"""


async def _serve(backend: Backend, exchange: Exchange) -> None:
    job = await _job(backend, exchange)
    waiter = backend.listener.follow(job.id, _resume_mark(exchange.header("last-event-id")))
    try:
        await exchange.start(200, sse.STREAM)
        await exchange.unless_hung_up(_follow(backend, exchange, waiter, job))
    except HungUp:
        return
    except ShuttingDown:
        raise ShuttingDown(GOES_ON) from None
    finally:
        backend.listener.forget(waiter)


async def _job(backend: Backend, exchange: Exchange) -> JobState:
    """The job of the caller's message.

    Raises:
        Refusal: no valid key is presented, or the key sees no such message.
    """
    caller = await backend.caller(exchange)
    [name] = exchange.parameters
    values = {"id": _identifier(name), "tenant": caller.tenant_id, "user": bound_to(caller)}
    rows = await read(backend.database.relaxed, JOB_OF_MESSAGE, values)
    job = await job_state.state_of(backend.database, rows[0][0]) if rows else None
    if job is None:
        raise _not_found()
    return job


def _identifier(name: str) -> UUID:
    identifier = ids.parse(ids.MESSAGE, name)
    if identifier is None:
        raise _not_found()
    return identifier


def _not_found() -> Refusal:
    return Refusal(404, "message_not_found", "there is no such message")


def _resume_mark(value: str) -> Mark:
    attempt, _, seq = value.partition(".")
    if _MARK.fullmatch(value):
        return (int(attempt), int(seq))
    return START


async def _follow(backend: Backend, exchange: Exchange, waiter: Waiter, job: JobState) -> None:
    waiting = job.status in (Status.QUEUED, Status.HELD)
    events, ticks = Events(waiter.mark), 0
    if waiting:
        await exchange.write(_queued(backend, job))
    async for entries in backend.entries(waiter):
        if entries:
            waiting = False
            await exchange.write(events.render(entries))
        elif waiting:
            ticks += 1
            # Nothing announces that a held job may run now.
            if job.held_reason and not ticks % HELD_TICKS:
                job = await backend.state(job.id) or job
            await exchange.write(_queued(backend, job))
        else:
            await exchange.write(sse.comment("processing"))
    await exchange.write(b"", more=False)


def _queued(backend: Backend, job: JobState) -> bytes:
    state: dict[str, Any] = {"priority": job.level.queue, "position": None, "eta": None}
    if job.held_reason:
        state["held"] = job.held_reason
    elif outlook := backend.outlook(job.level, job.model, job.fair_tag, job.id):
        state |= {"position": outlook.position, "eta": outlook.wait_seconds}
        if outlook.is_paused:
            state["held"] = Held.PAUSED
    return sse.event(_json(**state), name="queued")


class Events:
    """The events that one client gets. A reset stands between the texts of two attempts.

    Args:
        after: the last entry that the client has from an earlier connection.
    """

    def __init__(self, after: Mark) -> None:
        self._resumed = after != START
        # The first entry of an attempt is its start. Whether later ones had text is not known.
        self._speaking = after[0] if after[1] > 1 else 0
        self._has_text = False

    def render(self, entries: list[Entry]) -> bytes:
        return b"".join(part for entry in entries for part in self._render(entry))

    def _render(self, entry: Entry) -> Iterator[bytes]:
        identifier = f"{entry.attempt}.{entry.seq}"
        if entry.event in (STARTED, DELTA) and self._speaking not in (0, entry.attempt):
            # The attempt before was lost with its worker, which could not send a reset.
            yield sse.event("{}", name="reset", identifier=f"{entry.attempt}.0")
            self._speaking, self._has_text = 0, False
        if entry.event == STARTED:
            yield sse.event(entry.data, name="started", identifier=identifier)
        elif entry.event == DELTA:
            self._speaking, self._has_text = entry.attempt, True
            if text := _text(orjson.loads(entry.data)):
                yield sse.event(_json(content=text), name="delta", identifier=identifier)
        elif entry.event == RESET:
            self._speaking, self._has_text = 0, False
            yield sse.event("{}", name="reset", identifier=identifier)
        elif entry.event == FINAL:
            yield from self._end(orjson.loads(entry.data), identifier)

    def _end(self, end: dict[str, Any], identifier: str) -> Iterator[bytes]:
        if end["status"] != Status.COMPLETED:
            error = {name: end.get(name) for name in ("status", "code", "message")}
            yield sse.event(_json(**error), name="error", identifier=identifier)
            return
        if not self._has_text and end.get("text"):
            # The stream has expired, and the stored answer is still there.
            if self._resumed:
                yield sse.event("{}", name="reset", identifier=identifier)
            yield sse.event(_json(content=end["text"]), name="delta", identifier=identifier)
        summary = {key: end[key] for key in ("status", "queue_ms", "endpoint") if key in end}
        yield sse.event(_json(**summary), name="completed", identifier=identifier)


def _text(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or ()
    delta = choices[0].get("delta") if choices else None
    content = (delta or {}).get("content")
    return content if isinstance(content, str) else ""


def _json(**fields: Any) -> str:
    return orjson.dumps(fields).decode()


DOOR = Door((Route("GET", "/api/v1/messages/{id}/events", _serve),), RestErrors())
