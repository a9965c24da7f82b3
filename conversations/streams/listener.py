"""How do a job's entries reach the clients that wait for them?

Each web process has one mailbox, and workers post there the entries of jobs that it submitted. A
gap in a job's sequence is filled from its Valkey stream. A missing end is read from the job's row,
once a second. Jobs of other processes are followed in their streams, all of them by one command.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid4

import orjson
import psycopg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from conversations.streams.waiter import START, Entry, Mark, Waiter
from scheduling import job_state
from scheduling.job_state import EndedJob
from scheduling.outbox import FINAL, mailbox, stream_key
from stores import control
from stores.postgres import Database

log = structlog.get_logger(__name__)

FOLLOW_SECONDS = 0.05
CHECK_SECONDS = 1.0
FIRST_TICK_SECONDS = 0.25


class Listener:
    """All waiting clients of a web process."""

    def __init__(self, client: Redis, database: Database) -> None:
        self.origin = uuid4().hex
        self._client = client
        self._database = database
        self._local: dict[str, Waiter] = {}
        self._followed: dict[str, set[Waiter]] = {}
        self._chores: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._chores = [
            asyncio.create_task(control.listen(self._client, mailbox(self.origin), self._receive)),
            asyncio.create_task(_every(CHECK_SECONDS, self._find_ended)),
            asyncio.create_task(_every(FOLLOW_SECONDS, self._follow)),
        ]

    async def stop(self) -> None:
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)

    def expect(self, job_id: UUID) -> Waiter:
        """Wait for a job that this process is about to submit with its `origin`."""
        waiter = self._local[job_id.hex] = Waiter(job_id)
        return waiter

    def follow(self, job_id: UUID, after: Mark = START) -> Waiter:
        """Wait for a job that any process submitted, from the entry behind `after`."""
        waiter = Waiter(job_id, after)
        self._followed.setdefault(job_id.hex, set()).add(waiter)
        return waiter

    def forget(self, waiter: Waiter) -> None:
        name = waiter.job_id.hex
        if self._local.get(name) is waiter:
            del self._local[name]
        followers = self._followed.get(name)
        if followers is not None:
            followers.discard(waiter)
            if not followers:
                del self._followed[name]

    async def entries(self, waiter: Waiter, *, tick_seconds: float) -> AsyncIterator[list[Entry]]:
        """Entries in order, each once, up to the final one, included; an empty list is a tick.

        The first tick comes early, so that a client soon hears that its request waits.
        """
        patience = min(FIRST_TICK_SECONDS, tick_seconds)
        while not waiter.finished:
            batch = await waiter.take(patience)
            patience = tick_seconds
            fresh: list[Entry] = []
            for entry in batch:
                if entry.mark <= waiter.mark or waiter.finished:
                    continue
                missed = await self._between(waiter, entry) if _is_gap(waiter.mark, entry) else []
                for one in (*missed, entry):
                    if not waiter.finished:
                        fresh.append(one)
                        waiter.mark = one.mark
                        waiter.finished = one.event == FINAL
            if fresh or not batch:
                yield fresh

    def _receive(self, data: bytes) -> None:
        for name, attempt, seq, event, text in orjson.loads(data):
            waiter = self._local.get(name)
            if waiter is not None:
                waiter.deliver(Entry(attempt, seq, event, text))

    async def _between(self, waiter: Waiter, entry: Entry) -> list[Entry]:
        """Entries that were lost on their way; none if the job keeps no stream."""
        key = stream_key(waiter.job_id)
        try:
            rows = await self._client.xrange(
                key, min=_after(waiter.mark), max=f"({entry.attempt}-{entry.seq}"
            )
        except RedisError:
            return []
        return [_entry(*row) for row in rows or ()]

    async def _follow(self) -> None:
        """Read the new entries of all followed streams, in one write."""
        if not self._followed:
            return
        groups = self._followed.values()
        waiters = [waiter for group in groups for waiter in group if not waiter.is_behind]
        if not waiters:
            return
        asked = [
            self._client.xrange(stream_key(waiter.job_id), min=_after(waiter.read), count=500)
            for waiter in waiters
        ]
        replies = await asyncio.gather(*asked, return_exceptions=True)
        for waiter, rows in zip(waiters, replies, strict=True):
            if isinstance(rows, ResponseError):
                log.warning("stream.unreadable", job=str(waiter.job_id), error=str(rows))
                continue
            if isinstance(rows, BaseException):
                raise rows
            for row in rows or ():
                entry = _entry(*row)
                waiter.read = entry.mark
                waiter.deliver(entry)

    async def _find_ended(self) -> None:
        """Read the rows of jobs that have waited a while: the entry of their end may be lost."""
        now = time.monotonic()
        followed = (waiter for group in self._followed.values() for waiter in group)
        waiting = [
            waiter
            for waiter in (*self._local.values(), *followed)
            if not waiter.finished and now - waiter.since >= CHECK_SECONDS
        ]
        if not waiting:
            return
        ended = await job_state.ended(self._database, [waiter.job_id for waiter in waiting])
        for waiter in waiting:
            job = ended.get(waiter.job_id)
            if job is None:
                continue
            # Its last entries may be on their way: the row counts only in the next round.
            if waiter.seen_ended:
                waiter.deliver(_end_of(job, waiter.mark))
            waiter.seen_ended = True


def _end_of(job: EndedJob, mark: Mark) -> Entry:
    # Behind any sequence number, so that the gap before it is read from the stream.
    return Entry(max(job.attempts, mark[0]), 2**31, FINAL, job.end)


def _is_gap(mark: Mark, entry: Entry) -> bool:
    if entry.attempt == mark[0]:
        return entry.seq > mark[1] + 1
    return entry.seq > 1


def _after(mark: Mark) -> str:
    return f"({mark[0]}-{mark[1]}" if mark != START else "-"


def _entry(identifier: Any, fields: Any) -> Entry:
    attempt, _, seq = identifier.decode().partition("-")
    return Entry(int(attempt), int(seq), fields[b"k"].decode(), fields[b"d"].decode())


async def _every(seconds: float, chore: Callable[[], Coroutine[Any, Any, None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await chore()
        except (RedisError, psycopg.OperationalError) as error:
            log.info("listener.waits", chore=chore.__qualname__, error=str(error))
        except Exception:
            log.exception("listener.failed", chore=chore.__qualname__)
