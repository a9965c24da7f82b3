"""How do the words of a job reach those who wait for it?

A job's entries go to its Valkey stream (`llmq:out:<job>`, entry id `<attempt>-<seq>`: a worker
that lost its lease cannot write behind its successor) and to the mailbox of the web process that
waits for it. A worker gathers the entries of all its jobs in an `Outbox`. A job that ends without
a worker has its one entry posted by `post_ends`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson
import redis
import structlog
from redis.exceptions import RedisError

from llmqueue_project.config import configuration
from scheduling.signals import is_announced

log = structlog.get_logger(__name__)

# KEYS: the stream of each entry. ARGV: most entries, expiry, then of each entry its id, event, data
# and "1" where the expiry is to be set. A whole flush is one command, because a command costs
# redis-py 50 us. XADD refuses an entry older than its stream's last one: that is the fence. What a
# replica or a server without memory says is an outage, and the flush is sent again.
_APPEND = """
for i = 1, #KEYS do
    local at = 3 + (i - 1) * 4
    local said = redis.pcall('XADD', KEYS[i], 'MAXLEN', '~', ARGV[1], ARGV[at],
                             'k', ARGV[at + 1], 'd', ARGV[at + 2])
    local wrong = type(said) == 'table' and said.err
    if wrong and not string.find(wrong, '^ERR') and not string.find(wrong, '^WRONGTYPE') then
        return said
    end
    if ARGV[at + 3] == '1' then redis.call('EXPIRE', KEYS[i], ARGV[2]) end
end
"""

STARTED, DELTA, USAGE, RESET, FINAL = "s", "d", "u", "r", "f"
_MOST_WAITING = 100_000
_MOST_POSTED = 1000  # jobs in a pipeline
# Characters of one letter, and the pause behind it while more of them wait: a web process reads
# that much meanwhile. Valkey closes a subscriber that lags by 32 MB, and with it the mailbox of all
# its clients; and what lags in a mailbox is in the way of their answers.
_MOST_AT_ONCE = 512 * 1024
_PAUSE_SECONDS = 0.02


def stream_key(job_id: UUID) -> str:
    return f"llmq:out:{job_id.hex}"


def mailbox(origin: str) -> str:
    return f"llmq:mail:{origin}"


class FollowedJob(Protocol):
    """A job as far as somebody may wait for its words."""

    @property
    def id(self) -> UUID: ...
    @property
    def stream(self) -> bool: ...
    @property
    def source(self) -> str: ...
    @property
    def origin(self) -> str: ...


class EndedJob(FollowedJob, Protocol):
    """A job that has ended."""

    @property
    def status(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def error_code(self) -> str: ...
    @property
    def error_message(self) -> str: ...


def keeps_stream(job: FollowedJob) -> bool:
    """Whether a job's entries are kept, so that a client can resume or come later."""
    return job.stream or is_announced(job.source)


@dataclass(slots=True)
class JobStream:
    """The outgoing entries of one job; `keep` when its stream can be resumed."""

    job_id: UUID
    origin: str
    keep: bool
    attempt: int
    seq: int = 0

    @classmethod
    def of(cls, job: FollowedJob, attempt: int) -> JobStream:
        """The entries of an attempt."""
        return cls(job.id, job.origin, keeps_stream(job), attempt)

    @classmethod
    def after(cls, job: EndedJob) -> JobStream:
        """The end of a job that no worker ended; it sorts behind the entries of every attempt."""
        return cls.of(job, job.attempts + 1)


def end_of(job: EndedJob) -> str:
    """The final entry of a job that has no answer, as JSON text."""
    end = {"status": job.status, "code": job.error_code, "message": job.error_message}
    return orjson.dumps(end).decode()


def post_ends(client: redis.Redis, jobs: Sequence[EndedJob]) -> None:
    """Tell those who wait for jobs that they have ended. If an entry is lost, they read the row."""
    for start in range(0, len(jobs), _MOST_POSTED):
        pipeline = client.pipeline(transaction=False)
        for job in jobs[start : start + _MOST_POSTED]:
            _post_end(pipeline, job)
        try:
            pipeline.execute()
        except RedisError as error:
            log.info("end.not_told", job=str(jobs[start].id), error=str(error))


def _post_end(pipeline: redis.client.Pipeline, job: EndedJob) -> None:
    stream, data = JobStream.after(job), end_of(job)
    if stream.keep:
        key = stream_key(job.id)
        pipeline.xadd(key, {"k": FINAL, "d": data}, id=f"{stream.attempt}-1")
        pipeline.expire(key, configuration().streaming.expiry_seconds)
    if stream.origin:
        letter = [(job.id.hex, stream.attempt, 1, FINAL, data)]
        pipeline.publish(mailbox(stream.origin), orjson.dumps(letter))


def drop_stream(client: redis.Redis, job_id: UUID) -> None:
    """Drop the entries of a job that begins anew: its followers must not read its former end."""
    try:
        client.delete(stream_key(job_id))
    except RedisError as error:
        log.info("stream.not_forgotten", job=str(job_id), error=str(error))


@dataclass(frozen=True, slots=True)
class _Entry:
    stream: JobStream
    attempt: int
    seq: int
    event: str
    data: str


def _is_urgent(entry: _Entry) -> bool:
    """Whether it is sent at once: a start, the first tokens, a reset, an end."""
    return entry.seq <= 3 or entry.event in (FINAL, RESET)


class Sender(Protocol):
    """The Valkey client, as far as an outbox needs it."""

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]: ...
    def publish(self, channel: str, message: bytes) -> Awaitable[Any]: ...


class Outbox:
    """A worker's entries, gathered for a moment and sent in one pipeline.

    The end of a job travels in the same ordered buffer as its deltas, so it cannot overtake them.
    """

    def __init__(
        self, client: Sender, *, flush_seconds: float, max_entries: int, expiry_seconds: int
    ) -> None:
        self._client = client
        self._append = client.register_script(_APPEND)
        self._flush_seconds = flush_seconds
        self._max_entries = max_entries
        self._expiry_seconds = expiry_seconds
        self._waiting: list[_Entry] = []
        # Characters that wait.
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None

    def put(self, stream: JobStream, event: str, data: str) -> None:
        """Send an entry: an urgent one at once, others with the next tick."""
        if not stream.keep and not stream.origin:
            return
        stream.seq += 1
        entry = _Entry(stream, stream.attempt, stream.seq, event, data)
        self._waiting.append(entry)
        self._size += len(data)
        if _is_urgent(entry):
            self._start()
        elif self._timer is None and self._flushing is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._flush_seconds, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._waiting:
                is_part = self._size > _MOST_AT_ONCE
                await self._send(self._taken())
                if is_part:
                    await asyncio.sleep(_PAUSE_SECONDS)
                if self._waiting and not any(_is_urgent(e) for e in self._waiting):
                    loop = asyncio.get_running_loop()
                    self._timer = loop.call_later(self._flush_seconds, self._start)
                    break
        finally:
            self._flushing = None

    def _taken(self) -> list[_Entry]:
        """The entries that are sent at once: all, unless they are large.

        Then those of the jobs with the least to send go first, so that they do not wait behind the
        megabytes of another.
        """
        if self._size <= _MOST_AT_ONCE:
            entries, self._waiting, self._size = self._waiting, [], 0
            return entries
        sizes: dict[UUID, int] = defaultdict(int)
        for entry in self._waiting:
            sizes[entry.stream.job_id] += len(entry.data)
        self._waiting.sort(key=lambda entry: sizes[entry.stream.job_id])
        size = count = 0
        while size < _MOST_AT_ONCE and count < len(self._waiting):
            size += len(self._waiting[count].data)
            count += 1
        entries, self._waiting = self._waiting[:count], self._waiting[count:]
        self._size -= size
        return entries

    async def _send(self, entries: list[_Entry]) -> None:
        try:
            await self._deliver(entries)
        except RedisError as error:
            log.warning("outbox.waits", entries=len(entries), error=str(error))
            self._waiting = (entries + self._waiting)[-_MOST_WAITING:]
            self._size = sum(len(entry.data) for entry in self._waiting)
            await asyncio.sleep(0.2)

    async def _deliver(self, entries: Sequence[_Entry]) -> None:
        keys: list[str] = []
        arguments: list[str | int] = [self._max_entries, self._expiry_seconds]
        letters: dict[str, list[tuple[str, int, int, str, str]]] = {}
        for entry in entries:
            stream = entry.stream
            if stream.keep:
                keys.append(stream_key(stream.job_id))
                expires = "1" if entry.seq == 1 or entry.event == FINAL else "0"
                arguments += (f"{entry.attempt}-{entry.seq}", entry.event, entry.data, expires)
            if stream.origin:
                letters.setdefault(stream.origin, []).append(
                    (stream.job_id.hex, entry.attempt, entry.seq, entry.event, entry.data)
                )
        # The streams come first: whoever misses a letter then finds its entries there.
        if keys:
            await self._append(keys=keys, args=arguments)
        sending = [
            self._client.publish(mailbox(origin), orjson.dumps(letter))
            for origin, letter in letters.items()
        ]
        await asyncio.gather(*sending)

    async def drain(self) -> None:
        """Send all entries that wait, within a second."""
        self._start()
        if self._flushing is not None:
            await asyncio.wait([self._flushing], timeout=1.0)
