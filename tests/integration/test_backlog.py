"""Backlog trickles into its level: how much, whose, and never out of turn."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from scheduling.dispatch.claims import Claims
from scheduling.dispatch.endings import Finish
from scheduling.models import Priority, Status
from scheduling.specs import JobSpec
from scheduling.spoken import spoken
from scheduling.statements import RELEASE_BACKLOG
from scheduling.submit import estimates
from scheduling.submit.estimates import Estimates
from scheduling.sweep import LEAST_QUEUED, Sweeper
from scheduling.tickets.queue import TicketQueue
from tests.hot_path import MODEL, Db, spec

NORMAL = int(Priority.NORMAL)
FLOWS = "select flow_id from scheduling_job where id = any(%(ids)s)"


def backlog(flow: int, count: int, **fields: Any) -> list[JobSpec]:
    # Identifiers in order: two of one millisecond would not be.
    first = uuid4().int >> 16 << 16
    return [
        spec(flow, id=UUID(int=first + n), backlog=True, **{"cost": 10.0, **fields})
        for n in range(count)
    ]


async def release(database: Db, *, least: int, most: int = 1000) -> list[UUID]:
    rows = await database.rows(RELEASE_BACKLOG, least=least, most=most)
    assert all(row[2] == "queued" for row in rows)
    return [row[0] for row in rows]


async def by_flow(database: Db, ids: list[UUID]) -> Counter[int]:
    return Counter(row[0] for row in await database.rows(FLOWS, ids=ids))


async def test_the_oldest_fill_the_room_and_no_more(database: Db) -> None:
    jobs = backlog(await database.flow(), 10)
    await database.submit(*jobs)

    assert sorted(await release(database, least=4)) == [job.id for job in jobs[:4]]
    assert await release(database, least=4) == [], "the level has enough"
    assert sorted(await release(database, least=6)) == [job.id for job in jobs[4:6]]


async def test_what_ran_in_the_last_second_makes_room(database: Db) -> None:
    flow = await database.flow()
    claims = Claims(database.pools, worker="w", lease_seconds=30)
    await database.submit(*[spec(flow) for _ in range(3)], *backlog(flow, 40))
    running, *done = await claims.claim(NORMAL, limit=3, room={MODEL: 3})
    for job in done:
        token = job.lease_token
        await claims.finish(Finish(id=job.id, lease_token=token, status=Status.FAILED, number=1))

    released = await release(database, least=0)

    assert running.attempts == 1
    assert len(released) == 1 + 3 * len(done)


async def test_room_goes_to_whom_it_is_due(database: Db) -> None:
    """A flow of small jobs gets in more of them; a heavier flow more work."""
    large, small = await database.flow("large"), await database.flow("small")
    heavy = await database.flow("heavy", weight=4.0)
    await database.submit(
        *backlog(large, 30, cost=100.0), *backlog(small, 30), *backlog(heavy, 30, cost=40.0)
    )

    found = await by_flow(database, await release(database, least=21))

    assert found == {large: 1, small: 10, heavy: 10}


async def test_a_batch_does_not_starve_behind_a_full_level(database: Db) -> None:
    busy, batch = await database.flow("busy"), await database.flow("batch")
    claims = Claims(database.pools, worker="w", lease_seconds=30)
    await database.submit(*[spec(busy) for _ in range(9)], *backlog(batch, 5))

    assert len(await release(database, least=2)) == 1
    assert await release(database, least=2) == [], "its last one has not started yet"
    claimed = await claims.claim(NORMAL, limit=3, room={MODEL: 3})
    assert batch in {job.flow_id for job in claimed}
    assert len(await release(database, least=2)) == 1


async def test_a_batch_leaves_its_own_flows_next_request_in_front(database: Db) -> None:
    flow = await database.flow()
    await database.submit(*backlog(flow, 500))
    await release(database, least=4)

    (receipt,) = await database.submit(spec(flow))

    assert receipt.fair_tag == 4 * 10.0


@pytest.mark.parametrize("scope", ["tenant", "flow"])
async def test_what_is_paused_stays(database: Db, scope: str) -> None:
    paused, free = await database.flow("paused"), await database.flow("free")
    tenant = uuid4()
    await database.submit(*backlog(paused, 5, tenant_id=tenant), *backlog(free, 5))
    key = str(tenant) if scope == "tenant" else str(paused)
    await database.run(
        "insert into scheduling_pause (scope, key, reason, since, operator)"
        " values (%(scope)s, %(key)s, '', now(), '')",
        scope=scope,
        key=key,
    )

    assert await by_flow(database, await release(database, least=100)) == {free: 5}
    await database.run("delete from scheduling_pause")
    assert await by_flow(database, await release(database, least=100)) == {paused: 5}


async def test_a_turn_waits_behind_a_turn_that_is_backlog(database: Db) -> None:
    talk = uuid4()
    flow = await database.flow()
    await database.submit(*backlog(flow, 1, sequence_key=talk))

    (receipt,) = await database.submit(spec(flow, sequence_key=talk))

    assert (receipt.status, receipt.held_reason) == (Status.HELD, "turn")


async def test_the_sweep_lets_them_in_and_publishes_their_tickets(
    database: Db, valkey: Redis
) -> None:
    await database.submit(*backlog(await database.flow(), 100))
    witness = partial(spoken, valkey)
    sweeper = Sweeper(database=database.pools, queues=TicketQueue(valkey), spoken=witness)

    assert await sweeper.once() == []

    assert await valkey.llen(Priority.NORMAL.queue) == LEAST_QUEUED
    count = "select count(*) from scheduling_job where status = 'queued'"
    assert await database.one(count) == (LEAST_QUEUED,)


async def test_a_door_learns_what_workers_have_seen(database: Db) -> None:
    flow = await database.flow()
    claims = Claims(database.pools, worker="w", lease_seconds=30)
    await database.submit(spec(flow), spec(flow))
    for job, tokens in zip(
        await claims.claim(NORMAL, limit=2, room={MODEL: 2}), (10, 30), strict=True
    ):
        await claims.finish(
            Finish(
                id=job.id,
                lease_token=job.lease_token,
                status=Status.COMPLETED,
                number=1,
                outcome="ok",
                prompt_tokens=1,
                completion_tokens=tokens,
                actual_cost=1.0,
            )
        )
    learned = Estimates()

    await estimates.refresh(learned, database.pools)

    assert learned.output_tokens(flow_id=flow, model=MODEL) == 20
    assert learned.output_tokens(flow_id=flow + 1, model=MODEL) == 20
