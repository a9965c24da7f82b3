"""The statements of the hot path against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.claims import Claims
from scheduling.dispatch.endings import FailedAttempt, Finish
from scheduling.job_state import ended as job_state_ended
from scheduling.job_state import stored_body
from scheduling.models import Attempt, Priority, Status
from scheduling.specs import parameters
from scheduling.statements import (
    LOST_STREAMS,
    SUBMIT,
    SWEEP_DEADLINES,
    SWEEP_DUE,
    SWEEP_LEASES,
)
from scheduling.sweep import Ended
from stores.postgres import fetch
from tests.hot_path import MODEL, Db, spec

NORMAL = int(Priority.NORMAL)
# No plain stream has been looked at.
UNSEEN: dict[str, list[UUID]] = {"looked": [], "spoke": []}
PAST = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def claims(database: Db) -> Claims:
    return Claims(database.pools, worker="w1", lease_seconds=30)


async def take(claims: Claims, limit: int = 1, **room: int) -> list[Claimed]:
    return await claims.claim(NORMAL, limit=limit, room=room or {MODEL: 100})


def completed(job: Claimed, **fields: Any) -> Finish:
    values: dict[str, Any] = {
        "status": Status.COMPLETED,
        "number": job.attempts,
        "outcome": Attempt.Outcome.OK,
        "result": "{}",
        "text": "hi",
    }
    return Finish(id=job.id, lease_token=job.lease_token, **{**values, **fields})


async def expire(database: Db, job_id: UUID) -> None:
    await database.run(
        "update scheduling_job set lease_expires_at = now() - interval '1 s' where id = %(id)s",
        id=job_id,
    )


async def retry(
    claims: Claims, job: Claimed, *, delay_seconds: float, uses_attempt: bool = True
) -> bool:
    failed = FailedAttempt(
        endpoint_id=1,
        endpoint_name="one",
        error_code="http_503",
        error_message="no \0 good",
        public="no endpoint could answer",
        uses_attempt=uses_attempt,
    )
    return await claims.retry(job, failed, delay_seconds=delay_seconds)


class TestSubmit:
    async def test_tags_follow_one_another_by_cost(self, database: Db) -> None:
        flow = await database.flow()

        tags = [(await database.submit(spec(flow, cost=cost)))[0].fair_tag for cost in (10, 30, 5)]

        assert tags == [0, 10, 40]

    async def test_a_heavier_flow_moves_slower(self, database: Db) -> None:
        flow = await database.flow(weight=4.0)

        tags = [(await database.submit(spec(flow, cost=20)))[0].fair_tag for _ in range(3)]

        assert tags == [0, 5, 10]

    async def test_a_group_gets_the_tags_it_would_get_one_by_one(self, database: Db) -> None:
        plan = [("a", 10.0, NORMAL), ("b", 4.0, NORMAL), ("a", 3.0, 3), ("a", 7.0, NORMAL)] * 2
        alone = {name: await database.flow(f"alone {name}") for name in "ab"}
        together = {name: await database.flow(f"together {name}") for name in "ab"}

        singly = [
            (await database.submit(spec(alone[n], cost=cost, level=Priority(level))))[0].fair_tag
            for n, cost, level in plan
        ]
        group = await database.submit(
            *(spec(together[n], cost=cost, level=Priority(level)) for n, cost, level in plan)
        )

        assert [receipt.fair_tag for receipt in group] == pytest.approx(singly)

    async def test_an_idle_flow_gains_no_credit(self, database: Db, claims: Claims) -> None:
        busy, idle = await database.flow("busy"), await database.flow("idle")
        await database.submit(*(spec(busy, cost=100) for _ in range(5)))
        await take(claims, 5)

        (late,) = await database.submit(spec(idle, cost=100))
        (next_of_busy,) = await database.submit(spec(busy, cost=100))

        assert late.fair_tag == 400, "it starts at the clock: the highest tag claimed"
        assert next_of_busy.fair_tag == 500

    async def test_levels_have_clocks_of_their_own(self, database: Db, claims: Claims) -> None:
        flow, other = await database.flow("a"), await database.flow("b")
        await database.submit(*(spec(flow, cost=100) for _ in range(3)))
        await take(claims, 3)

        (low,) = await database.submit(spec(other, level=Priority.LOW))

        assert low.fair_tag == 0

    async def test_a_group_sent_twice_is_stored_once(self, database: Db) -> None:
        flow = await database.flow()
        specs = [spec(flow, body=f'{{"n":{n}}}') for n in range(3)]

        first = await database.send(specs)
        second = await database.send(specs)

        assert len(first) == 3
        assert second == []
        assert await database.one("select count(*) from scheduling_job") == (3,)
        assert await database.one("select count(*) from scheduling_jobpayload") == (3,)

    async def test_a_group_sent_twice_costs_its_flow_once(self, database: Db) -> None:
        flow = await database.flow()
        specs = [spec(flow, cost=10)]

        await database.send(specs)
        await database.send(specs)

        assert await database.one("select last_finish from scheduling_flowtag") == (10,)

    async def test_a_later_due_time_holds(self, database: Db) -> None:
        flow = await database.flow()
        soon = datetime.now(UTC) + timedelta(hours=1)

        later, now = await database.submit(spec(flow, due_at=soon), spec(flow, due_at=PAST))

        assert (later.status, later.held_reason) == (Status.HELD, "due")
        assert (now.status, now.held_reason) == (Status.QUEUED, "")

    async def test_one_turn_of_a_sequence_is_queued(self, database: Db) -> None:
        flow, key = await database.flow(), uuid4()

        group = await database.submit(*(spec(flow, sequence_key=key) for _ in range(2)))
        (third,) = await database.submit(spec(flow, sequence_key=key))
        (other,) = await database.submit(spec(flow, sequence_key=uuid4()))

        reasons = [receipt.held_reason for receipt in (*group, third, other)]
        assert reasons == ["", "turn", "turn", ""]


class TestClaim:
    async def test_the_lowest_tags_of_all_flows_come_first(
        self, database: Db, claims: Claims
    ) -> None:
        flood, quiet = await database.flow("flood"), await database.flow("quiet")
        await database.submit(*(spec(flood, cost=10) for _ in range(5)))
        (victim,) = await database.submit(spec(quiet, cost=10))

        jobs = await take(claims, 3)

        assert victim.job_id in [job.id for job in jobs[:2]]
        assert [job.flow_id for job in jobs].count(flood) == 2

    async def test_a_claim_is_a_lease(self, database: Db, claims: Claims) -> None:
        (receipt,) = await database.submit(spec(await database.flow(), body='{"a":1}'))

        (job,) = await take(claims)

        assert (job.id, job.attempts, job.body) == (receipt.job_id, 1, '{"a":1}')
        status, worker, token, left = await database.job(
            job.id,
            "status, worker, lease_token, extract(epoch from lease_expires_at - now())::float8",
        )
        assert (status, worker, token) == ("processing", "w1", job.lease_token)
        assert 25 < left <= 30

    async def test_only_models_with_room_and_no_more_than_it(
        self, database: Db, claims: Claims
    ) -> None:
        flow = await database.flow()
        await database.submit(*(spec(flow, model=name) for name in ("full", "a", "a", "b")))

        jobs = await take(claims, 10, a=1, b=5)

        assert sorted(job.model for job in jobs) == ["a", "b"]

    async def test_the_limit_counts_over_all_models(self, database: Db, claims: Claims) -> None:
        flow = await database.flow()
        await database.submit(*(spec(flow, model=name) for name in "abab"))

        jobs = await take(claims, 3, a=5, b=5)

        assert [job.model for job in jobs] == ["a", "b", "a"]

    async def test_other_levels_held_and_expired_jobs_stay(
        self, database: Db, claims: Claims
    ) -> None:
        flow = await database.flow()
        await database.submit(
            spec(flow, level=Priority.LOW),
            spec(flow, due_at=datetime.now(UTC) + timedelta(hours=1)),
            spec(flow, deadline_at=PAST),
        )

        assert await take(claims, 10) == []

    @pytest.mark.parametrize("skew", [timedelta(seconds=-15), timedelta(seconds=15)])
    async def test_d7_a_deadline_counts_by_the_databases_clock(
        self, database: Db, skew: timedelta
    ) -> None:
        clock = datetime.now(UTC) + skew
        job = spec(await database.flow(), deadline_at=clock + timedelta(seconds=10))

        await fetch(database.pools.durable, SUBMIT, {**parameters([job]), "sent_at": clock})

        ((left,),) = await database.rows(
            "select extract(epoch from deadline_at - now())::float from scheduling_job"
        )
        assert 9 < left <= 10

    async def test_concurrent_claimers_never_share_a_job(self, database: Db) -> None:
        flow = await database.flow()
        await database.submit(*(spec(flow) for _ in range(300)))
        workers = [Claims(database.pools, worker=f"w{n}", lease_seconds=30) for n in range(6)]

        async def drain(worker: Claims) -> list[UUID]:
            mine: list[UUID] = []
            while jobs := await take(worker, 7):
                mine += [job.id for job in jobs]
            return mine

        shares = await asyncio.gather(*map(drain, workers))

        everything = [job for share in shares for job in share]
        assert len(everything) == len(set(everything)) == 300
        assert sum(map(bool, shares)) > 1, "the claimers did not run side by side"

    async def test_waiting_tells_why_a_ticket_found_nothing(
        self, database: Db, claims: Claims
    ) -> None:
        await database.submit(spec(await database.flow(), model="full"))

        assert await claims.waiting(NORMAL, ["other"]) == (True, False)
        assert await claims.waiting(NORMAL, ["full"]) == (True, True)
        assert await claims.waiting(int(Priority.LOW), ["full"]) == (False, False)

    async def test_room_is_for_the_apis_that_its_endpoints_serve(
        self, database: Db, claims: Claims
    ) -> None:
        flow = await database.flow()
        await database.submit(spec(flow, api="embedding"), spec(flow), spec(flow))
        chat = {MODEL: frozenset({"chat", "completion"})}
        room = {MODEL: 3}

        taken = await claims.claim(NORMAL, limit=3, room=room, apis=chat)

        assert [job.api for job in taken] == ["chat", "chat"]
        assert await claims.waiting(NORMAL, [MODEL], chat) == (True, False)
        assert await claims.waiting(NORMAL, [MODEL]) == (True, True)
        (left,) = await claims.claim(NORMAL, limit=3, room=room)
        assert left.api == "embedding"


class TestLease:
    async def test_a_heartbeat_renews_and_brings_news(self, database: Db, claims: Claims) -> None:
        flow = await database.flow()
        await database.submit(*(spec(flow) for _ in range(3)))
        kept, cancelled, lost = await take(claims, 3)
        await database.run(
            "update scheduling_job set lease_expires_at = now() + interval '1 s',"
            " cancel_requested = (id = %(c)s), lease_token = case when id = %(l)s"
            " then gen_random_uuid() else lease_token end",
            c=cancelled.id,
            l=lost.id,
        )

        assert await claims.heartbeat([kept, cancelled, lost]) == {
            kept.id: False,
            cancelled.id: True,
        }
        seconds = "extract(epoch from lease_expires_at - now())::float8"
        assert (await database.job(kept.id, seconds))[0] > 20
        assert (await database.job(lost.id, seconds))[0] < 2

    async def test_a_worker_whose_lease_was_taken_over_changes_nothing(
        self, database: Db, claims: Claims
    ) -> None:
        await database.submit(spec(await database.flow()))
        (mine,) = await take(claims)
        await expire(database, mine.id)
        await fetch(database.pools.durable, SWEEP_LEASES, UNSEEN)
        other = Claims(database.pools, worker="w2", lease_seconds=30)
        (theirs,) = await take(other)

        assert theirs.id == mine.id
        assert not await claims.finish(completed(mine))
        assert not await retry(claims, mine, delay_seconds=1)
        assert not await retry(claims, mine, delay_seconds=0)
        assert await claims.give_back([mine], wrote=False) == 0
        assert await claims.heartbeat([mine]) == {}
        assert await database.job(mine.id, "status, worker, attempts") == ("processing", "w2", 2)
        assert await database.one("select count(*) from scheduling_jobresult") == (0,)
        assert await other.finish(completed(theirs))

    async def test_give_back_keeps_the_tag_and_counts_no_attempt(
        self, database: Db, claims: Claims
    ) -> None:
        flow = await database.flow()
        receipts = await database.submit(*(spec(flow) for _ in range(2)))
        first, _ = await take(claims, 2)

        assert await claims.give_back([first], wrote=False) == 1

        assert await database.job(first.id, "status, attempts, fair_tag, lease_token, worker") == (
            "queued",
            0,
            receipts[0].fair_tag,
            None,
            "",
        )
        (again,) = await take(claims)
        assert (again.id, again.attempts) == (first.id, 1)
        assert again.lease_token != first.lease_token

    async def test_an_attempt_that_wrote_keeps_its_number_and_is_allowed_one_more(
        self, database: Db, claims: Claims
    ) -> None:
        await database.submit(spec(await database.flow(), max_attempts=3))
        (job,) = await take(claims)

        await claims.give_back([job], wrote=True)

        assert await database.job(job.id, "attempts, max_attempts") == (1, 4)
        (again,) = await take(claims)
        assert again.attempts == 2, "its stream entries sort behind those of the first"


class TestFinish:
    async def test_result_usage_and_attempt_in_one_go(self, database: Db, claims: Claims) -> None:
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)

        stored = await claims.finish(
            completed(job, prompt_tokens=3, completion_tokens=4, result='{"a":"\0"}', why='{"p":1}')
        )

        assert stored
        assert await database.job(
            job.id, "status, prompt_tokens, completion_tokens, lease_expires_at"
        ) == ("completed", 3, 4, None)
        assert await database.one("select body, text from scheduling_jobresult") == (
            '{"a":"\ufffd"}',
            "hi",
        )
        assert await database.one(
            "select number, outcome, worker, why from scheduling_attempt"
        ) == (
            1,
            "ok",
            "w1",
            {"p": 1},
        )

    async def test_a_large_result_is_stored_whole(self, database: Db, claims: Claims) -> None:
        """X6"""
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)
        body = '{"a":"\\u00e9\t\\\\ \u00e9\0"}' + "x" * 2_000_000

        stored = await claims.finish(completed(job, prompt_tokens=3, result=body, text="a\nb"))

        assert stored
        assert await database.one("select body, text from scheduling_jobresult") == (
            body.replace("\0", "\ufffd"),
            "a\nb",
        )
        assert await database.job(job.id, "status, prompt_tokens") == ("completed", 3)
        assert await stored_body(database.pools, job.id) == body.replace("\0", "\ufffd").encode()
        (ended,) = (await job_state_ended(database.pools, [job.id])).values()
        assert orjson.loads(ended.end)["body"] is None

    async def test_a_large_result_of_a_lost_lease_is_not_stored(
        self, database: Db, claims: Claims
    ) -> None:
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)
        lost = replace(completed(job, result="x" * 2_000_000), lease_token=uuid4())

        assert not await claims.finish(lost)

        assert await database.rows("select 1 from scheduling_jobresult") == []

    async def test_finishing_twice_is_no_error_and_stores_once(
        self, database: Db, claims: Claims
    ) -> None:
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)

        assert await claims.finish(completed(job, text="first"))
        assert await claims.finish(completed(job, text="second"))

        assert await database.rows("select text from scheduling_jobresult") == [("first",)]
        assert await database.one("select count(*) from scheduling_attempt") == (1,)

    async def test_one_bad_outcome_does_not_fail_its_neighbours(
        self, database: Db, claims: Claims
    ) -> None:
        flow = await database.flow()
        await database.submit(*(spec(flow) for _ in range(3)))
        jobs = await take(claims, 3)
        bad = completed(jobs[1], why="not json")

        told = await asyncio.gather(
            claims.finish(completed(jobs[0])),
            claims.finish(bad),
            claims.finish(completed(jobs[2])),
            return_exceptions=True,
        )

        assert (told[0], told[2]) == (True, True)
        assert isinstance(told[1], Exception)
        assert [await database.status(job.id) for job in jobs] == [
            Status.COMPLETED,
            Status.PROCESSING,
            Status.COMPLETED,
        ]

    async def test_a_failure_stores_no_result(self, database: Db, claims: Claims) -> None:
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)

        await claims.finish(
            completed(job, status=Status.FAILED, outcome="error", error_code="http_500")
        )

        assert await database.job(job.id, "status, error_code") == ("failed", "http_500")
        assert await database.one("select count(*) from scheduling_jobresult") == (0,)

    async def test_actual_cost_is_settled_into_the_flow(self, database: Db, claims: Claims) -> None:
        flow = await database.flow(weight=2.0)
        await database.submit(spec(flow, cost=20), spec(flow, cost=20))
        dear, cheap = await take(claims, 2)

        await asyncio.gather(
            claims.finish(completed(dear, actual_cost=60.0)),
            claims.finish(completed(cheap, actual_cost=10.0)),
        )

        settled = 20 + (60 - 20) / 2 + (10 - 20) / 2
        assert await database.one("select last_finish from scheduling_flowtag") == (settled,)
        (following,) = await database.submit(spec(flow))
        assert following.fair_tag == settled

    async def test_an_unknown_cost_settles_nothing(self, database: Db, claims: Claims) -> None:
        await database.submit(spec(await database.flow(), cost=20))
        (job,) = await take(claims)

        await claims.finish(completed(job))

        assert await database.one("select last_finish from scheduling_flowtag") == (20,)


class TestRetry:
    async def test_a_delay_holds_until_due_with_the_same_tag(
        self, database: Db, claims: Claims
    ) -> None:
        (receipt,) = await database.submit(spec(await database.flow()))
        (job,) = await take(claims)

        assert await retry(claims, job, delay_seconds=60)

        status, reason, tag, attempts, seconds = await database.job(
            job.id,
            "status, held_reason, fair_tag, attempts, extract(epoch from due_at - now())::float8",
        )
        assert (status, reason, tag, attempts) == ("held", "due", receipt.fair_tag, 1)
        assert 55 < seconds <= 60
        assert await database.one(
            "select number, outcome, error_code, error_message from scheduling_attempt"
        ) == (1, "error", "http_503", "no \ufffd good")

    async def test_no_delay_keeps_the_lease_for_another_attempt(
        self, database: Db, claims: Claims
    ) -> None:
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)

        assert await retry(claims, job, delay_seconds=0)

        assert await database.job(job.id, "status, attempts, lease_token, due_at") == (
            "processing",
            2,
            job.lease_token,
            None,
        )

    @pytest.mark.parametrize("delay", [0.0, 60.0])
    async def test_a_busy_endpoint_uses_up_no_attempt(
        self, database: Db, claims: Claims, delay: float
    ) -> None:
        await database.submit(spec(await database.flow()))
        (job,) = await take(claims)

        assert await retry(claims, job, delay_seconds=delay, uses_attempt=False)

        assert await database.job(job.id, "max_attempts") == (job.max_attempts + 1,)
        assert await database.one("select count(*) from scheduling_attempt") == (1,)

    async def test_what_comes_due_is_queued(self, database: Db, claims: Claims) -> None:
        flow = await database.flow()
        await database.submit(spec(flow), spec(flow))
        due, later = await take(claims, 2)
        await retry(claims, due, delay_seconds=0.001)
        await retry(claims, later, delay_seconds=60)
        await database.run("update scheduling_job set due_at = now() where id = %(id)s", id=due.id)

        rows = await database.rows(SWEEP_DUE)

        assert rows == [(due.id, NORMAL, "queued")]
        assert [job.id for job in await take(claims, 10)] == [due.id]


class TestSweep:
    async def test_a_lost_lease_is_queued_again(self, database: Db, claims: Claims) -> None:
        flow = await database.flow()
        await database.submit(spec(flow), spec(flow))
        lost, kept = await take(claims, 2)
        await expire(database, lost.id)

        (row,) = await database.rows(SWEEP_LEASES, **UNSEEN)

        assert (row[0], row[2]) == (lost.id, "queued")
        assert await database.status(kept.id) == Status.PROCESSING
        assert await database.rows("select job_id, outcome from scheduling_attempt") == [
            (lost.id, "lost")
        ]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ("attempts = max_attempts", "failed"),
            ("cancel_requested = true", "cancelled"),
            ("deadline_at = now() - interval '1 s'", "timeout"),
        ],
    )
    async def test_a_lost_lease_that_may_not_run_again_ends(
        self, database: Db, claims: Claims, change: str, status: str
    ) -> None:
        await database.submit(spec(await database.flow(), request_id="asked-7"))
        (job,) = await take(claims)
        await expire(database, job.id)
        await database.run(f"update scheduling_job set {change}")

        (row,) = await database.rows(SWEEP_LEASES, **UNSEEN)

        assert row[2] == status
        assert Ended.of_row(row).request_id == "asked-7"
        ended, finished = await database.job(job.id, "status, finished_at is not null")
        assert (ended, finished) == (status, True)

    async def test_a_lost_plain_stream_waits_for_its_witness_and_ends_if_it_spoke(
        self, database: Db, claims: Claims
    ) -> None:
        flow = await database.flow()
        specs = [spec(flow, stream=True), spec(flow), spec(flow, stream=True, source="message")]
        await database.submit(*specs, spec(flow, stream=True))
        told, whole, message, silent = await take(claims, 4)
        for job in (told, whole, message, silent):
            await expire(database, job.id)

        streams = await database.rows(LOST_STREAMS)
        unseen = await database.rows(SWEEP_LEASES, **UNSEEN)
        looked = {"looked": [told.id, silent.id], "spoke": [told.id]}
        seen = await database.rows(SWEEP_LEASES, **looked)

        assert {row[:2] for row in streams} == {(told.id, 1), (silent.id, 1)}
        assert {(row[0], row[2]) for row in unseen} == {
            (whole.id, "queued"),
            (message.id, "queued"),
        }
        assert {(row[0], row[2]) for row in seen} == {(told.id, "failed"), (silent.id, "queued")}
        columns = "error_code, worker, finished_at is not null"
        assert await database.job(told.id, columns) == ("attempt_lost", "", True)

    async def test_deadlines_end_what_waits_and_nothing_else(
        self, database: Db, claims: Claims
    ) -> None:
        flow, soon = await database.flow(), datetime.now(UTC) + timedelta(hours=1)
        running, queued, held, patient = await database.submit(
            spec(flow, deadline_at=soon),
            spec(flow, deadline_at=soon),
            spec(flow, deadline_at=soon, due_at=soon),
            spec(flow, deadline_at=soon),
        )
        await take(claims, 1)
        await database.run(
            "update scheduling_job set deadline_at = %(past)s where id <> %(id)s",
            past=PAST,
            id=patient.job_id,
        )

        rows = await database.rows(SWEEP_DEADLINES)

        assert {Ended.of_row(row).id for row in rows} == {queued.job_id, held.job_id}
        assert await database.job(queued.job_id, "status, error_code") == (
            "timeout",
            "queue_timeout",
        )
        assert await database.status(running.job_id) == Status.PROCESSING

    async def test_a_due_turn_waits_for_the_one_in_flight(
        self, database: Db, claims: Claims
    ) -> None:
        flow, key, soon = await database.flow(), uuid4(), datetime.now(UTC) + timedelta(hours=1)
        await database.submit(spec(flow, sequence_key=key))
        await take(claims)
        turn, free = await database.submit(
            spec(flow, sequence_key=key, due_at=soon), spec(flow, due_at=soon)
        )
        await database.run("update scheduling_job set due_at = now() where due_at is not null")

        swept = await database.rows(SWEEP_DUE)

        assert {row[0]: row[2] for row in swept} == {turn.job_id: "held", free.job_id: "queued"}
        assert await database.job(turn.job_id, "held_reason") == ("turn",)
        assert await database.rows(SWEEP_DUE) == [], "a held turn is not due again"

    async def test_of_turns_due_together_the_first_goes(self, database: Db) -> None:
        flow, key, soon = await database.flow(), uuid4(), datetime.now(UTC) + timedelta(hours=1)
        turns = [spec(flow, id=UUID(int=n), sequence_key=key, due_at=soon) for n in (1, 2, 3)]
        await database.submit(*turns)
        await database.run("update scheduling_job set due_at = now()")

        swept = await database.rows(SWEEP_DUE)

        assert sorted((row[0].int, row[2]) for row in swept) == [
            (1, "queued"),
            (2, "held"),
            (3, "held"),
        ]

    async def test_turns_of_one_millisecond_keep_their_order(self, database: Db) -> None:
        flow, key, soon = await database.flow(), uuid4(), datetime.now(UTC) + timedelta(hours=1)
        turns = [spec(flow, id=UUID(int=n), sequence_key=key, due_at=soon) for n in (2, 1)]
        await database.submit(*turns)
        await database.run("update scheduling_job set due_at = now()")

        await database.rows(SWEEP_DUE)

        assert await database.status(turns[0].id) == Status.QUEUED
