"""From the outbox to a waiting client: order, gaps, ends. Real Valkey and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import orjson
import pytest
from redis.asyncio import Redis

from conversations.streams.listener import CHECK_SECONDS, Listener
from conversations.streams.waiter import Entry, Waiter
from scheduling.outbox import DELTA, FINAL, STARTED, JobStream, Outbox, mailbox, stream_key
from tests.hot_path import Db, spec

TICK = 0.01
END = '{"status":"completed"}'


@pytest.fixture
async def listener(valkey: Redis, database: Db) -> Listener:
    """One whose chores the tests do themselves."""
    return Listener(valkey, database.pools)


async def store(valkey: Redis, job: UUID, *entries: Entry) -> None:
    for entry in entries:
        await valkey.xadd(
            stream_key(job), {"k": entry.event, "d": entry.data}, id=f"{entry.attempt}-{entry.seq}"
        )


def deltas(*seqs: int, attempt: int = 1) -> list[Entry]:
    return [Entry(attempt, seq, DELTA, str(seq)) for seq in seqs]


def final(seq: int, attempt: int = 1) -> Entry:
    return Entry(attempt, seq, FINAL, END)


async def heard(listener: Listener, waiter: Waiter, *letters: Sequence[Entry]) -> list[Entry]:
    """What a client gets of these letters, to its end or the first tick."""
    for letter in letters:
        for entry in letter:
            waiter.deliver(entry)
    found: list[Entry] = []
    async for batch in listener.entries(waiter, tick_seconds=TICK):
        if not batch:
            break
        found += batch
    return found


def marks(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    return [entry.mark for entry in entries]


async def ended(database: Db, *, streamed: bool, status: str = "completed") -> UUID:
    """A job whose row has ended."""
    job = spec(await database.flow(), stream=streamed)
    await database.submit(job)
    await database.run(
        "update scheduling_job set status = %(status)s, attempts = 1, started_at = created_at,"
        " error_code = 'code', error_message = 'why' where id = %(id)s",
        id=job.id,
        status=status,
    )
    if status == "completed":
        await database.run(
            "insert into scheduling_jobresult values (%(id)s, %(body)s, 'text')",
            id=job.id,
            body='{"a":1}',
        )
    return job.id


class TestEntries:
    async def test_they_come_in_order_up_to_the_final_one(self, listener: Listener) -> None:
        waiter = listener.expect(uuid4())

        found = await heard(listener, waiter, deltas(1, 2), [*deltas(3), final(4)], deltas(5))

        assert marks(found) == [(1, 1), (1, 2), (1, 3), (1, 4)]
        assert waiter.finished

    async def test_duplicates_are_dropped(self, listener: Listener) -> None:
        waiter = listener.expect(uuid4())

        found = await heard(listener, waiter, deltas(1, 2), deltas(1, 2, 3), [final(4), final(4)])

        assert marks(found) == [(1, 1), (1, 2), (1, 3), (1, 4)]

    async def test_a_gap_is_filled_from_the_stream(self, listener: Listener, valkey: Redis) -> None:
        waiter = listener.expect(uuid4())
        await store(valkey, waiter.job_id, *deltas(1, 2, 3, 4), final(5))

        found = await heard(listener, waiter, deltas(1), [final(5)])

        assert marks(found) == [(1, n) for n in range(1, 6)]
        assert [entry.data for entry in found[:4]] == ["1", "2", "3", "4"]

    async def test_a_lost_beginning_too(self, listener: Listener, valkey: Redis) -> None:
        waiter = listener.expect(uuid4())
        await store(valkey, waiter.job_id, *deltas(1, 2, 3))

        found = await heard(listener, waiter, deltas(3))

        assert marks(found) == [(1, 1), (1, 2), (1, 3)]

    async def test_a_gap_across_attempts(self, listener: Listener, valkey: Redis) -> None:
        waiter = listener.expect(uuid4())
        await store(valkey, waiter.job_id, *deltas(1, 2), *deltas(1, 2, attempt=2))

        found = await heard(listener, waiter, deltas(1), deltas(2, attempt=2))

        assert marks(found) == [(1, 1), (1, 2), (2, 1), (2, 2)]

    async def test_a_gap_without_a_stream_is_passed_over(self, listener: Listener) -> None:
        waiter = listener.expect(uuid4())

        found = await heard(listener, waiter, deltas(1), deltas(4))

        assert marks(found) == [(1, 1), (1, 4)]

    async def test_an_older_attempts_word_is_dropped(self, listener: Listener) -> None:
        waiter = listener.expect(uuid4())

        found = await heard(listener, waiter, deltas(1, attempt=2), [*deltas(9), final(10)])

        assert marks(found) == [(2, 1)]

    async def test_silence_is_a_tick(self, listener: Listener) -> None:
        waiter = listener.expect(uuid4())

        assert await anext(listener.entries(waiter, tick_seconds=TICK)) == []


class TestLetters:
    async def test_a_workers_words_reach_whom_they_are_for(
        self, listener: Listener, valkey: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with asyncio.timeout(10):
            await listener.start()
            while (await valkey.pubsub_numsub(mailbox(listener.origin)))[0][1] == 0:
                await asyncio.sleep(0.005)
            mine, other = listener.expect(uuid4()), listener.expect(uuid4())
            outbox = Outbox(valkey, flush_seconds=0.01, max_entries=100, expiry_seconds=60)
            feed = JobStream(mine.job_id, listener.origin, keep=False, attempt=1)

            outbox.put(feed, STARTED, "{}")
            outbox.put(feed, FINAL, END)

            found: list[Entry] = []
            async for batch in listener.entries(mine, tick_seconds=1):
                found += batch
            await listener.stop()
        assert [entry.event for entry in found] == [STARTED, FINAL]
        assert await other.take(0) == []

    async def test_a_forgotten_waiter_gets_nothing(self, listener: Listener) -> None:
        waiter = listener.expect(uuid4())
        listener.forget(waiter)

        listener._receive(orjson.dumps([(waiter.job_id.hex, 1, 1, FINAL, END)]))

        assert await waiter.take(0) == []


class TestFollowing:
    async def test_it_reads_the_stream_behind_a_mark(
        self, listener: Listener, valkey: Redis
    ) -> None:
        waiter = listener.follow(uuid4(), (1, 2))
        await store(valkey, waiter.job_id, *deltas(1, 2, 3), final(4))

        await listener._follow()

        assert marks(await heard(listener, waiter)) == [(1, 3), (1, 4)]

    async def test_from_the_start_it_reads_all(self, listener: Listener, valkey: Redis) -> None:
        waiters = [listener.follow(uuid4()) for _ in range(2)]
        for waiter in waiters:
            await store(valkey, waiter.job_id, *deltas(1, 2))

        await listener._follow()

        for waiter in waiters:
            assert marks(await heard(listener, waiter)) == [(1, 1), (1, 2)]

    async def test_new_entries_come_with_the_next_look(
        self, listener: Listener, valkey: Redis
    ) -> None:
        waiter = listener.follow(uuid4())
        await store(valkey, waiter.job_id, *deltas(1))
        await listener._follow()
        first = await heard(listener, waiter)
        await store(valkey, waiter.job_id, *deltas(2))

        await listener._follow()

        assert marks(first + await heard(listener, waiter)) == [(1, 1), (1, 2)]

    async def test_a_client_that_does_not_take_is_not_filled_up(
        self, listener: Listener, valkey: Redis
    ) -> None:
        waiter = listener.follow(uuid4())
        await store(valkey, waiter.job_id, *deltas(*range(1, 31)))

        for _ in range(5):
            await listener._follow()

        assert len(await waiter.take(0)) <= 30

    async def test_one_clients_impossible_mark_is_not_the_others_trouble(
        self, listener: Listener, valkey: Redis
    ) -> None:
        listener.follow(uuid4(), (1, 10**25))
        waiter = listener.follow(uuid4())
        await store(valkey, waiter.job_id, *deltas(1), final(2))

        await listener._follow()

        assert marks(await heard(listener, waiter)) == [(1, 1), (1, 2)]

    async def test_a_forgotten_follower_costs_nothing(self, listener: Listener) -> None:
        job = uuid4()
        first, second = listener.follow(job), listener.follow(job)

        listener.forget(first)
        assert listener._followed == {job.hex: {second}}
        listener.forget(second)
        listener.forget(second)

        assert listener._followed == {}


class TestLostLastWord:
    async def looked(self, listener: Listener) -> None:
        for _ in range(2):
            await listener._find_ended()

    async def end(self, listener: Listener, waiter: Waiter) -> dict[str, object]:
        found = await heard(listener, waiter)
        assert [entry.event for entry in found].count(FINAL) == 1
        end: dict[str, object] = orjson.loads(found[-1].data)
        return end

    async def expected(self, listener: Listener, job: UUID) -> Waiter:
        waiter = listener.expect(job)
        waiter.since -= 3 * CHECK_SECONDS
        return waiter

    async def test_a_whole_answer_is_made_up_from_the_row(
        self, listener: Listener, database: Db
    ) -> None:
        waiter = await self.expected(listener, await ended(database, streamed=False))

        await self.looked(listener)

        end = await self.end(listener, waiter)
        assert (end["status"], end["body"], end["queue_ms"]) == ("completed", '{"a":1}', 0)

    async def test_a_failure_too(self, listener: Listener, database: Db) -> None:
        job = await ended(database, streamed=False, status="failed")
        waiter = await self.expected(listener, job)

        await self.looked(listener)

        end = await self.end(listener, waiter)
        assert (end["status"], end["code"], end["message"]) == ("failed", "code", "why")

    async def test_one_look_is_patience_for_words_under_way(
        self, listener: Listener, database: Db
    ) -> None:
        waiter = await self.expected(listener, await ended(database, streamed=False))

        await listener._find_ended()

        assert await heard(listener, waiter) == []

    async def test_while_entries_come_the_row_does_not_end_them(
        self, listener: Listener, database: Db
    ) -> None:
        """X7: a large answer takes seconds."""
        waiter = await self.expected(listener, await ended(database, streamed=False))

        for n in (1, 2, 3):
            await listener._find_ended()
            waiter.deliver(deltas(n)[0])

        assert marks(await heard(listener, waiter)) == [(1, 1), (1, 2), (1, 3)]

    async def test_a_new_waiter_is_not_looked_up(self, listener: Listener, database: Db) -> None:
        waiter = listener.expect(await ended(database, streamed=False))

        await self.looked(listener)

        assert await heard(listener, waiter) == []

    async def test_a_running_job_has_no_end(self, listener: Listener, database: Db) -> None:
        job = spec(await database.flow())
        await database.submit(job)
        waiter = await self.expected(listener, job.id)

        await self.looked(listener)

        assert await heard(listener, waiter) == []

    async def test_the_deltas_before_it_come_from_the_stream(
        self, listener: Listener, database: Db, valkey: Redis
    ) -> None:
        waiter = await self.expected(listener, await ended(database, streamed=True))
        await store(valkey, waiter.job_id, *deltas(1, 2, 3))
        waiter.deliver(deltas(1)[0])

        await self.looked(listener)

        found = await heard(listener, waiter)
        assert marks(found[:-1]) == [(1, 1), (1, 2), (1, 3)]
        assert found[-1].event == FINAL

    async def test_a_final_entry_in_the_stream_is_the_only_one(
        self, listener: Listener, database: Db, valkey: Redis
    ) -> None:
        waiter = await self.expected(listener, await ended(database, streamed=True))
        await store(valkey, waiter.job_id, *deltas(1, 2), final(3))
        waiter.deliver(deltas(1)[0])

        await self.looked(listener)

        found = await heard(listener, waiter)
        assert [entry.event for entry in found] == [DELTA, DELTA, FINAL]

    async def test_a_follower_is_told_as_well(self, listener: Listener, database: Db) -> None:
        waiter = listener.follow(await ended(database, streamed=True))
        waiter.since -= 3 * CHECK_SECONDS

        await self.looked(listener)

        end = await self.end(listener, waiter)
        assert (end["body"], end["text"]) == (None, "text")
