"""What leaves a worker: order, urgency, the fence of stream ids. Against a real Valkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from uuid import uuid4

import orjson
import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from llmqueue_project.embedded.services import Services
from scheduling.models import Job, Source, Status
from scheduling.outbox import (
    DELTA,
    FINAL,
    STARTED,
    JobStream,
    Outbox,
    Sender,
    drop_stream,
    keeps_stream,
    mailbox,
    post_ends,
    stream_key,
)
from tests.hot_path import claimed

HOUR = 3600.0


def outbox(client: Sender, *, flush_seconds: float = HOUR, max_entries: int = 1000) -> Outbox:
    return Outbox(client, flush_seconds=flush_seconds, max_entries=max_entries, expiry_seconds=60)


def job_stream(**fields: Any) -> JobStream:
    return JobStream(**{"job_id": uuid4(), "origin": "web1", "keep": True, "attempt": 1, **fields})


async def stream(valkey: Redis, source: JobStream) -> list[tuple[str, str, str]]:
    rows: Any = await valkey.xrange(stream_key(source.job_id))
    return [(i.decode(), f[b"k"].decode(), f[b"d"].decode()) for i, f in rows]


class Mailbox:
    """The letters of one web process."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription
        self.letters: list[list[Any]] = []

    async def until(self, kind: str) -> list[Any]:
        """All entries, up to and with the first of a kind."""
        async with asyncio.timeout(5):
            while not any(entry[3] == kind for letter in self.letters for entry in letter):
                message = await self._subscription.get_message(timeout=5)
                if message is not None:
                    self.letters.append(orjson.loads(message["data"]))
        return [entry for letter in self.letters for entry in letter]


@pytest.fixture
async def letters(valkey: Redis) -> AsyncIterator[Mailbox]:
    async with valkey.pubsub(ignore_subscribe_messages=True) as subscription:
        await subscription.subscribe(mailbox("web1"))
        await subscription.get_message(timeout=5)
        yield Mailbox(subscription)


async def test_many_megabytes_travel_in_several_letters(valkey: Redis, letters: Mailbox) -> None:
    """X7"""
    out, source = outbox(valkey), job_stream(keep=False)

    for _ in range(12):
        out.put(source, DELTA, "x" * 1_000_000)
    out.put(source, FINAL, "{}")

    entries = await letters.until(FINAL)
    assert [entry[2] for entry in entries] == list(range(1, 14))
    assert max(len(letter) for letter in letters.letters) <= 5


async def test_a_short_answer_does_not_wait_behind_a_large_one(
    valkey: Redis, letters: Mailbox
) -> None:
    """X6, X7"""
    out, large, short = outbox(valkey), job_stream(keep=False), job_stream(keep=False)

    for _ in range(12):
        out.put(large, DELTA, "x" * 1_000_000)
    out.put(large, FINAL, '{"of": "large"}')
    out.put(short, DELTA, "hi")
    out.put(short, FINAL, '{"of": "short"}')

    entries = await letters.until(FINAL)
    assert next(entry[4] for entry in entries if entry[0] == short.job_id.hex) == "hi"
    assert sum(len(entry[4]) for entry in entries) < 3_000_000


async def test_entries_arrive_in_order_and_the_end_last(valkey: Redis, letters: Mailbox) -> None:
    out, source = outbox(valkey), job_stream()

    out.put(source, STARTED, "{}")
    for n in range(50):
        out.put(source, DELTA, str(n))
    out.put(source, FINAL, "{}")

    entries = await letters.until(FINAL)
    assert [entry[2] for entry in entries] == list(range(1, 53))
    assert [entry[3] for entry in entries] == [STARTED, *[DELTA] * 50, FINAL]
    assert [entry[4] for entry in entries[1:-1]] == [str(n) for n in range(50)]
    assert [(i, k) for i, k, _ in await stream(valkey, source)] == [
        (f"1-{entry[2]}", entry[3]) for entry in entries
    ]


async def test_the_end_takes_the_waiting_deltas_along(valkey: Redis, letters: Mailbox) -> None:
    out, source = outbox(valkey, flush_seconds=HOUR), job_stream()
    for n in range(3):
        out.put(source, DELTA, str(n))
    await out.drain()

    out.put(source, DELTA, "waits for the tick")
    await asyncio.sleep(0)
    assert len(await stream(valkey, source)) == 3
    out.put(source, FINAL, "{}")

    entries = await letters.until(FINAL)
    assert [entry[3] for entry in entries] == [DELTA] * 4 + [FINAL]


async def test_the_first_tokens_do_not_wait(valkey: Redis, letters: Mailbox) -> None:
    out, source = outbox(valkey, flush_seconds=HOUR), job_stream()

    out.put(source, DELTA, "first")

    assert (await letters.until(DELTA))[0][4] == "first"


async def test_what_is_between_is_sent_by_the_tick(valkey: Redis, letters: Mailbox) -> None:
    out, source = outbox(valkey, flush_seconds=0.01), job_stream(seq=10)

    out.put(source, DELTA, "later")

    assert (await letters.until(DELTA))[0][2] == 11


async def test_jobs_of_one_moment_share_a_letter(valkey: Redis, letters: Mailbox) -> None:
    out, first, second = outbox(valkey), job_stream(), job_stream()

    out.put(first, DELTA, "a")
    out.put(second, FINAL, "b")

    await letters.until(FINAL)
    (letter,) = letters.letters
    assert [entry[0] for entry in letter] == [first.job_id.hex, second.job_id.hex]


async def test_only_who_can_resume_has_a_stream(valkey: Redis, letters: Mailbox) -> None:
    out, whole, background, nobody = (
        outbox(valkey),
        job_stream(keep=False),
        job_stream(origin=""),
        job_stream(keep=False, origin=""),
    )

    for source in (nobody, background, whole):
        out.put(source, FINAL, "{}")

    entries = await letters.until(FINAL)
    assert [entry[0] for entry in entries] == [whole.job_id.hex]
    assert await stream(valkey, background) == [("1-1", FINAL, "{}")]
    assert await stream(valkey, whole) == []
    assert nobody.seq == 0


async def test_a_stream_is_capped_and_expires(valkey: Redis) -> None:
    out, source = outbox(valkey, max_entries=100), job_stream(origin="")

    for _ in range(1000):
        out.put(source, DELTA, "x")
    await out.drain()

    assert await valkey.xlen(stream_key(source.job_id)) < 400
    assert 0 < await valkey.ttl(stream_key(source.job_id)) <= 60


async def test_an_older_attempt_cannot_write_behind_a_newer_one(valkey: Redis) -> None:
    out, job = outbox(valkey), uuid4()
    new = job_stream(job_id=job, attempt=2, origin="")
    old = job_stream(job_id=job, attempt=1, seq=7, origin="")
    out.put(new, DELTA, "new")
    await out.drain()

    out.put(old, DELTA, "late")
    out.put(new, FINAL, "end")
    await out.drain()

    assert await stream(valkey, new) == [("2-1", DELTA, "new"), ("2-2", FINAL, "end")]


class Flaky:
    """A Valkey client that is away for its first calls, or for its first letters alone."""

    def __init__(self, client: Redis, *, failures: int = 0, lost_letters: int = 0) -> None:
        self._client = client
        self._failures = failures
        self._lost_letters = lost_letters

    def register_script(self, script: str) -> Callable[..., Awaitable[Any]]:
        registered = self._client.register_script(script)

        async def call(**arguments: Any) -> Any:
            self._fail()
            return await registered(**arguments)

        return call

    async def publish(self, channel: str, message: bytes) -> None:
        self._fail()
        if self._lost_letters:
            self._lost_letters -= 1
            raise RedisConnectionError("away")
        await self._client.publish(channel, message)

    def _fail(self) -> None:
        if self._failures:
            self._failures -= 1
            raise RedisConnectionError("away")


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outbox waits 0.2 s before it tries again: not in tests."""
    sleep = asyncio.sleep
    monkeypatch.setattr("scheduling.outbox.asyncio.sleep", lambda _: sleep(0))


@pytest.mark.usefixtures("no_pause")
async def test_what_could_not_be_sent_is_sent_again_in_order(
    valkey: Redis, letters: Mailbox
) -> None:
    out, source = outbox(Flaky(valkey, failures=3)), job_stream()

    out.put(source, STARTED, "{}")
    await asyncio.sleep(0)
    for n in range(5):
        out.put(source, DELTA, str(n))
    out.put(source, FINAL, "{}")

    entries = await letters.until(FINAL)
    assert [entry[2] for entry in entries] == list(range(1, 8))
    assert [entry[3] for entry in entries] == [STARTED, *[DELTA] * 5, FINAL]
    assert len(await stream(valkey, source)) == 7


async def test_a_letter_lost_after_the_stream_was_written_adds_nothing_twice(
    valkey: Redis, letters: Mailbox, no_pause: None
) -> None:
    out, source = outbox(Flaky(valkey, lost_letters=1)), job_stream()

    out.put(source, FINAL, "{}")

    await letters.until(FINAL)
    assert await stream(valkey, source) == [("1-1", FINAL, "{}")]


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        pytest.param({"source": Source.OPENAI, "stream": False}, False, id="whole answer"),
        pytest.param({"source": Source.OPENAI, "stream": True}, True, id="streamed"),
        pytest.param({"source": Source.MESSAGE, "stream": False}, True, id="message"),
    ],
)
def test_a_job_keeps_a_stream_where_a_client_can_come_back(
    fields: dict[str, Any], kept: bool
) -> None:
    job = claimed(**fields)

    assert keeps_stream(job) is kept
    assert JobStream.of(job, 2) == JobStream(job.id, job.origin, kept, 2)


@pytest.fixture
def plain(services: Services, valkey: Redis) -> Iterator[redis.Redis]:
    """A client for synchronous code, of the same database."""
    with redis.Redis.from_url(services.redis_url.rsplit("/", 1)[0] + "/9") as client:
        yield client


def cancelled(**fields: Any) -> Job:
    values: dict[str, Any] = {"source": Source.MESSAGE, "stream": True, "origin": "web1"}
    return Job(status=Status.CANCELLED, error_code="cancelled", attempts=2, **values | fields)


async def test_an_end_without_a_worker_is_posted_behind_every_attempt(
    valkey: Redis, letters: Mailbox, plain: redis.Redis
) -> None:
    job = cancelled()

    post_ends(plain, [job])

    ((name, attempt, seq, event, text),) = await letters.until(FINAL)
    assert (name, attempt, seq, event) == (job.id.hex, 3, 1, FINAL)
    assert orjson.loads(text) == {"status": "cancelled", "code": "cancelled", "message": ""}
    assert await stream(valkey, JobStream.after(job)) == [("3-1", FINAL, text)]
    assert await valkey.ttl(stream_key(job.id)) > 0


async def test_a_stream_is_dropped_when_its_job_begins_anew(
    valkey: Redis, plain: redis.Redis
) -> None:
    job = cancelled(origin="")
    post_ends(plain, [job])

    drop_stream(plain, job.id)

    assert not await valkey.exists(stream_key(job.id))


def test_a_valkey_that_is_away_keeps_nobody_from_ending_a_job() -> None:
    away = redis.Redis(port=1, socket_connect_timeout=0.1)

    post_ends(away, [cancelled()])
    drop_stream(away, cancelled().id)
