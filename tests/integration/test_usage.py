"""What is spent is counted once: on the job, on its attempts and in its day."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from scheduling import usage
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.claims import Claims
from scheduling.dispatch.endings import FailedAttempt, Finish
from scheduling.models import Attempt, Priority, Status
from scheduling.spending import Spent
from scheduling.statements import FOLD_USAGE
from tests.hot_path import MODEL, Db, spec, test_database_url

pytestmark = pytest.mark.integration

SUMS = """
select requests, estimated_requests, prompt_tokens, completion_tokens, spent_micros
  from scheduling_dailyusage order by tenant_id, user_id nulls first, model, endpoint
"""
TENANT, USER = UUID(int=1), UUID(int=2)


@pytest.fixture
def claims(database: Db) -> Claims:
    return Claims(database.pools, worker="w1", lease_seconds=30)


async def running(database: Db, claims: Claims, count: int = 1, **fields: Any) -> list[Claimed]:
    flow = await database.flow(str(uuid4()))
    values = {"tenant_id": TENANT, **fields}
    await database.submit(*(spec(flow, **values) for _ in range(count)))
    return await claims.claim(int(Priority.NORMAL), limit=count, room={MODEL: count})


def done(job: Claimed, **fields: Any) -> Finish:
    values: dict[str, Any] = {
        "status": Status.COMPLETED,
        "number": job.attempts,
        "outcome": Attempt.Outcome.OK,
        "endpoint_id": 1,
        "endpoint_name": "gpu",
        "spent_prompt": 100,
        "spent_completion": 10,
        "spent_micros": 30,
    }
    return Finish(id=job.id, lease_token=job.lease_token, **{**values, **fields})


async def fail(claims: Claims, job: Claimed, spent: Spent, delay_seconds: float = 0) -> bool:
    failed = FailedAttempt(
        endpoint_id=1,
        endpoint_name="old",
        error_code="broken",
        error_message="broke off",
        public="broke off",
        spent=spent,
    )
    return await claims.retry(job, failed, delay_seconds=delay_seconds)


async def test_a_finish_is_on_the_job_the_attempt_and_the_day(database: Db, claims: Claims) -> None:
    (job,) = await running(database, claims, user_id=USER)

    await claims.finish(done(job, spent_estimated=True))
    assert await usage.fold(database.pools.durable) == 1

    assert await database.job(job.id, "spent_micros, spent_estimated") == (30, True)
    attempt = "select endpoint_name, spent_micros from scheduling_attempt"
    assert await database.one(attempt) == ("gpu", 30)
    day = (
        "select tenant_id, user_id, model, endpoint, day = current_date from scheduling_dailyusage"
    )
    assert await database.one(day) == (TENANT, USER, MODEL, "gpu", True)
    assert await database.rows(SUMS) == [(1, 1, 100, 10, 30)]


async def test_a_group_of_finishes_is_one_entry_a_key(database: Db, claims: Claims) -> None:
    jobs = await running(database, claims, 50)

    assert all(await asyncio.gather(*(claims.finish(done(job)) for job in jobs)))

    entries, requests = await database.one(
        "select count(*), sum(requests) from scheduling_usageentry"
    )
    assert requests == 50
    assert entries <= 10, "those that end together are written together"


async def test_a_finish_sent_twice_counts_once(database: Db, claims: Claims) -> None:
    (job,) = await running(database, claims)

    assert await claims.finish(done(job))
    assert await claims.finish(done(job)), "the second is no error"
    await usage.fold(database.pools.durable)

    assert await database.rows(SUMS) == [(1, 0, 100, 10, 30)]


async def test_a_worker_that_lost_its_lease_counts_nothing(database: Db, claims: Claims) -> None:
    (job,) = await running(database, claims)
    stranger = done(job)
    await database.run("update scheduling_job set lease_token = gen_random_uuid()")

    assert not await claims.finish(stranger)

    assert await database.one("select count(*) from scheduling_usageentry") == (0,)


async def test_failed_attempts_are_spent_too_and_are_no_request(
    database: Db, claims: Claims
) -> None:
    (job,) = await running(database, claims)

    await fail(claims, job, Spent(50, 5, 7, True))
    job.attempts += 1
    await claims.finish(done(job))
    await usage.fold(database.pools.durable)

    assert await database.job(job.id, "spent_micros, spent_estimated") == (37, True)
    attempts = "select endpoint_name, spent_micros from scheduling_attempt order by number"
    assert await database.rows(attempts) == [("old", 7), ("gpu", 30)]
    assert await database.rows(SUMS) == [(1, 0, 100, 10, 30), (0, 0, 50, 5, 7)]


async def test_an_attempt_that_said_nothing_leaves_no_entry(database: Db, claims: Claims) -> None:
    (job,) = await running(database, claims)

    await fail(claims, job, Spent(), delay_seconds=60)

    assert await database.job(job.id, "spent_micros") == (None,)
    assert await database.one("select count(*) from scheduling_usageentry") == (0,)


async def test_without_a_price_requests_and_tokens_are_counted(
    database: Db, claims: Claims
) -> None:
    (job,) = await running(database, claims)

    await claims.finish(done(job, spent_micros=None))
    await usage.fold(database.pools.durable)

    assert await database.job(job.id, "spent_micros") == (None,)
    assert await database.rows(SUMS) == [(1, 0, 100, 10, 0)]


async def test_days_add_up_whoever_has_no_user(database: Db, claims: Claims) -> None:
    for _ in range(3):
        (job,) = await running(database, claims)
        await claims.finish(done(job))
        await usage.fold(database.pools.durable)

    assert await database.rows(SUMS) == [(3, 0, 300, 30, 90)]
    assert await database.one("select count(*) from scheduling_usageentry") == (0,)


async def test_a_fold_that_breaks_off_loses_and_doubles_nothing(
    database: Db, claims: Claims
) -> None:
    (job,) = await running(database, claims)
    await claims.finish(done(job))

    async with await psycopg.AsyncConnection.connect(test_database_url()) as connection:
        await connection.execute(FOLD_USAGE, {"limit": 10})
        assert await usage.fold(database.pools.durable) == 0, "another is at it"
        await connection.rollback()
    await usage.fold(database.pools.durable)

    assert await database.rows(SUMS) == [(1, 0, 100, 10, 30)]
