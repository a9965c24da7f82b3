"""What becomes of a job: retried, moved, ended, given back. All collaborators are stubs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import orjson
import psycopg
import pytest
from structlog.testing import capture_logs

from balancing.calls.answer import Answer, OnChunk, Piece
from balancing.endpoints.model_pools import Rules
from balancing.endpoints.registry import Target
from balancing.errors import (
    Broken,
    Busy,
    CallError,
    DeadlinePassed,
    Exhausted,
    Refused,
    TimedOut,
    Unavailable,
    Unparsable,
)
from balancing.kinds.call import Call
from balancing.live.state import CallOutcome, Ending
from balancing.policies.profiles import expected_work
from conversations.doors.lean.refusals import of_end
from llmqueue_project.config import configuration
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.endings import FailedAttempt, Finish, SideCall
from scheduling.dispatch.slot import Placement, Slot
from scheduling.execution.outcomes import Outcomes
from scheduling.execution.run import MOST_CALLS, Stop
from scheduling.execution.runner import Runner
from scheduling.models import Status
from scheduling.outbox import DELTA, FINAL, RESET, STARTED, USAGE, JobStream
from scheduling.specs import actual_cost
from scheduling.tickets.gate import TicketGate
from tests.hot_path import MODEL, claimed

Step = Exception | Answer | Callable[[OnChunk], Any]
HELLO = Answer(body='{"a":1}', text="hello", prompt_tokens=3, completion_tokens=2)


def target(number: int) -> Target:
    return Target(number, f"e{number}", "http://e", frozenset([MODEL]), "", 1.0, 4, "enabled")


class StubClient:
    """Answers each call with the next step: an answer, an error, or what a function makes."""

    def __init__(self, *steps: Step) -> None:
        self.steps = list(steps)
        self.calls: list[tuple[int, Call]] = []

    async def call(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer:
        self.calls.append((target.id, call))
        step = self.steps.pop(0)
        found = await step(on_chunk) if callable(step) else step
        if isinstance(found, Exception):
            raise found
        return cast(Answer, found)


class StubClaims:
    def __init__(self) -> None:
        self.finished: list[Finish] = []
        self.retries: list[dict[str, Any]] = []
        self.returned: list[tuple[Claimed, bool]] = []
        self.notes: list[SideCall] = []
        self.ours = True
        self.away = False

    async def finish(self, outcome: Finish) -> bool:
        self.finished.append(outcome)
        return self.ours

    async def retry(self, job: Claimed, failed: FailedAttempt, *, delay_seconds: float) -> bool:
        if self.away:
            raise psycopg.OperationalError("away")
        values = {"number": job.attempts, "delay_seconds": delay_seconds, **asdict(failed)}
        self.retries.append(values)
        return self.ours

    async def give_back(self, jobs: Sequence[Claimed], *, wrote: bool) -> int:
        self.returned += [(job, wrote) for job in jobs]
        return len(jobs) if self.ours else 0

    async def note(self, job: Claimed, call: SideCall) -> None:
        self.notes.append(call)


class StubPool:
    """Endpoints 1 to `size`; `offers` are what the balancer chooses next."""

    def __init__(self, size: int = 1, offers: Sequence[int | None] = ()) -> None:
        self.size = size
        self.offers = list(offers)
        self.gate = TicketGate()
        self.not_ready = False
        self.asked: list[tuple[str, ...]] = []
        self.bound: list[int] = []
        self.released: list[int] = []
        self.endings: list[Ending] = []
        self.fallbacks: tuple[str, ...] = ()
        self.hedging = True
        self.silence: tuple[float | None, float | None] = (None, None)
        self.failing: list[int] = []
        self.charged: list[int] = []
        self.well: list[int] = []
        self.tokens: list[int | None] = []

    def spent(self, lease: str, tokens: int | None) -> None:
        self.tokens.append(tokens)

    def others_serving(self, model: str, tried: frozenset[int], api: str) -> bool:
        return bool(set(range(1, self.size + 1)) - tried)

    async def take_slot(
        self,
        job: Claimed,
        models: Sequence[str],
        tried: frozenset[int],
        because: Mapping[str, str],
    ) -> Slot | None:
        if self.not_ready:
            return None
        for model in models:
            self.asked.append(("" if model == job.model else model, *because))
            offer = self.offers.pop(0)
            if offer and offer not in tried:
                self.bound.append(offer)
                fallback = "" if model == job.model else model
                placement = Placement(target(offer), f'{{"to":{offer}}}', model=fallback)
                return Slot(placement, job.lease, self)
        return None

    async def free(self, ending: Ending) -> None:
        self.gate.freed()
        self.released.append(ending.endpoint_id)
        self.endings.append(ending)

    def rules(self, model: str) -> Rules:
        return Rules(expected_work, self.fallbacks, self.hedging, *self.silence)

    def mark_failing(self, target: Target) -> None:
        self.failing.append(target.id)

    def mark_well(self, target: Target) -> None:
        self.well.append(target.id)

    def charge(self, endpoints: Collection[int]) -> None:
        self.charged += endpoints


class StubOutbox:
    def __init__(self) -> None:
        self.entries: list[tuple[int, str, str]] = []

    def put(self, stream: JobStream, event: str, data: str) -> None:
        stream.seq += 1
        self.entries.append((stream.attempt, event, data))

    @property
    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.entries]

    @property
    def end(self) -> dict[str, Any]:
        (data,) = [data for _, kind, data in self.entries if kind == FINAL]
        found: dict[str, Any] = orjson.loads(data)
        return found


class World:
    """A runner and everything around it."""

    def __init__(self, client: StubClient, pool: StubPool | None = None) -> None:
        self.client = client
        self.pool = pool or StubPool()
        self.claims = StubClaims()
        self.outbox = StubOutbox()
        self.gate = self.pool.gate
        self.announced: list[Status] = []
        self.runner = Runner(
            claims=self.claims,
            pool=self.pool,
            client=client,
            outbox=self.outbox,
            outcomes=Outcomes(claims=self.claims, outbox=self.outbox, announcer=self),
        )

    async def announce(self, job: Claimed, status: Status) -> None:
        self.announced.append(status)

    def begin(self, job: Claimed, first_seconds: float = 0.0) -> asyncio.Task[None]:
        confirming = asyncio.create_task(asyncio.sleep(0))
        placement = Placement(target(1), '{"to":1}', first_seconds)
        slot = Slot(placement, job.lease, self.pool, confirming)
        return asyncio.create_task(self.runner.run(job, slot))

    async def run(self, job: Claimed) -> None:
        await self.begin(job)
        await settled()

    @property
    def ending(self) -> Finish:
        (finish,) = self.claims.finished
        return finish

    @property
    def retry(self) -> dict[str, Any]:
        (retry,) = self.claims.retries
        return retry


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def speaks(*then: Step) -> Callable[[OnChunk], Any]:
    """Sends a token, then ends with a step."""

    async def step(on_chunk: OnChunk) -> Any:
        on_chunk('{"token":1}', Piece.CONTENT)
        return then[0]

    return step


async def for_ever(on_chunk: OnChunk) -> Answer:
    on_chunk('{"token":1}', Piece.CONTENT)
    await asyncio.Event().wait()
    raise AssertionError


async def silent(on_chunk: OnChunk) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError


class TestCompletion:
    async def test_an_answer_is_stored_then_told(self) -> None:
        world = World(StubClient(HELLO))
        job = claimed()

        await world.run(job)

        ending = world.ending
        assert (ending.status, ending.outcome, ending.number) == (Status.COMPLETED, "ok", 1)
        assert (ending.lease_token, ending.endpoint_id) == (job.lease_token, 1)
        assert (ending.result, ending.text, ending.actual_cost) == ('{"a":1}', "hello", 7.0)
        assert world.outbox.kinds == [FINAL]
        assert world.outbox.end["body"] == '{"a":1}'
        assert world.pool.released == world.pool.well == [1]
        assert world.runner.running == {}
        assert world.gate.mark() == 1, "the gate learns of the free slot"

    async def test_a_stream_is_started_told_and_ended_in_order(self) -> None:
        async def answer(on_chunk: OnChunk) -> Answer:
            on_chunk("a", Piece.CONTENT)
            on_chunk("u", Piece.USAGE)
            return HELLO

        world = World(StubClient(answer))

        await world.run(claimed(stream=True))

        assert world.outbox.kinds == [STARTED, DELTA, USAGE, FINAL]
        assert world.outbox.end["body"] is None, "the chunks have told it"
        assert world.ending.first_token_at is not None

    async def test_a_large_answer_is_not_told_but_read_where_it_is_stored(self) -> None:
        """X6"""
        world = World(StubClient(Answer(body="x" * 2_000_000)))

        await world.run(claimed())

        assert world.ending.result == "x" * 2_000_000
        assert world.outbox.end["body"] is None

    async def test_an_answer_without_usage_settles_an_estimated_cost(self) -> None:
        world = World(StubClient(Answer(body="{}", completion_tokens=3)))

        await world.run(claimed())

        assert world.ending.actual_cost == actual_cost(1, 3)
        assert world.ending.spent_estimated

    async def test_a_lost_lease_tells_nobody(self) -> None:
        world = World(StubClient(HELLO))
        world.claims.ours = False

        await world.run(claimed(source="api"))

        assert FINAL not in world.outbox.kinds
        assert world.announced == []

    @pytest.mark.parametrize(("source", "told"), [("openai", []), ("api", [Status.COMPLETED])])
    async def test_the_app_above_is_told_of_its_own_jobs(
        self, source: str, told: list[Status]
    ) -> None:
        world = World(StubClient(HELLO))

        await world.run(claimed(source=source))

        assert world.announced == told


class TestFailure:
    async def test_a_refusal_ends_at_once_with_the_endpoints_words(self) -> None:
        refusal = Refused("refused", "bad field", status=422, body='{"error":{}}')
        world = World(StubClient(refusal), StubPool(3))

        await world.run(claimed())

        assert (world.ending.status, world.ending.error_code) == (Status.FAILED, "refused")
        assert (world.outbox.end["http_status"], world.outbox.end["upstream"]) == (
            422,
            '{"error":{}}',
        )
        assert world.pool.failing == [], "the request is at fault, not the endpoint"
        assert world.pool.released == [1]

    async def test_a_failure_without_another_endpoint_is_held(self) -> None:
        world = World(StubClient(Unavailable("http_503", "no", retry_after_seconds=9.0)))

        await world.run(claimed())

        assert world.claims.finished == []
        assert world.retry["number"] == 1
        assert 9 <= world.retry["delay_seconds"] <= 9.5
        assert (world.retry["endpoint_id"], world.retry["error_code"]) == (1, "http_503")
        assert world.pool.failing == world.pool.released == [1]
        assert world.outbox.kinds == [], "it has not ended"

    async def test_the_last_attempt_is_a_dead_letter(self) -> None:
        world = World(StubClient(Unavailable("http_503", "no")), StubPool(2, offers=[2]))

        await world.run(claimed(attempts=3, max_attempts=3))

        assert (world.ending.status, world.ending.number) == (Status.FAILED, 3)
        assert world.outbox.end["http_status"] == 0, "an endpoint's 5xx is not passed on"
        assert world.claims.retries == []

    async def test_a_dead_letter_is_logged(self) -> None:
        world, job = World(StubClient(Unavailable("http_503", "no"))), claimed(attempts=3)

        with capture_logs() as logs:
            await world.run(job)

        assert logs[-1] == {
            "event": "job.failed",
            "log_level": "warning",
            "job": str(job.id),
            "request_id": job.request_id,
            "code": "http_503",
            "attempts": 3,
        }

    async def test_a_failure_that_another_worker_stores_is_no_dead_letter_here(self) -> None:
        world = World(StubClient(Unavailable("http_503", "no")))
        world.claims.ours = False

        with capture_logs() as logs:
            await world.run(claimed(attempts=3))

        assert [line["event"] for line in logs] == ["attempt.failed"]

    async def test_an_unexpected_error_fails_the_job(self) -> None:
        world = World(StubClient(KeyError("bug")))

        await world.run(claimed())

        assert (world.ending.status, world.ending.error_code) == (Status.FAILED, "internal_error")
        assert world.pool.released == [1]

    async def test_without_postgresql_a_job_is_left_to_its_lease(self) -> None:
        world = World(StubClient(Unavailable("http_503", "no")))
        world.claims.away = True

        await world.run(claimed())

        assert world.claims.finished == []
        assert world.pool.released == [1]
        assert world.runner.running == {}


def due(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


class Hopeless(CallError):
    retryable = False


async def test_an_end_that_would_come_again_is_final() -> None:
    """A24: SDKs are told not to repeat it."""
    final, passing = (
        World(StubClient(Hopeless("too_large", "no"))),
        World(StubClient(Unavailable("http_500", "no", status=500))),
    )

    await final.run(claimed())
    await passing.run(claimed(attempts=3))

    assert final.outbox.end["is_final"] is True
    assert "is_final" not in passing.outbox.end


class TestBusy:
    """A busy endpoint is nobody's fault: waited for while the deadline allows, then a 429."""

    async def test_it_uses_up_no_attempt(self) -> None:
        world = World(StubClient(Busy("http_429", "slow", status=429, retry_after_seconds=9.0)))

        await world.run(claimed(attempts=3, max_attempts=3, deadline_at=due(600)))

        assert world.claims.finished == []
        assert world.retry["uses_attempt"] is False
        assert world.retry["delay_seconds"] >= 8.9
        (ending,) = world.pool.endings
        assert (ending.outcome, ending.avoid_seconds) == (CallOutcome.BUSY, 9.0)

    async def test_a_wait_longer_than_the_deadline_ends_at_once(self) -> None:
        """B4"""
        error = Exhausted("http_429", "slow", status=429, retry_after_seconds=1800.0)
        world = World(StubClient(error))

        await world.run(claimed(deadline_at=due(600)))

        assert world.claims.retries == []
        assert world.ending.status == Status.FAILED
        end = world.outbox.end
        assert (end["http_status"], end["code"]) == (429, "rate_limit_exceeded")
        assert end["retry_after_seconds"] == pytest.approx(1800, abs=1)
        refusal = of_end(end)
        assert ("x-should-retry", "false") in refusal.headers
        assert ("retry-after", "1800") in refusal.headers
        assert "e1" not in refusal.message

    async def test_another_endpoint_answers_instead(self) -> None:
        """B2, B4"""
        error = Exhausted("http_429", "no quota", status=429, retry_after_seconds=1800.0)
        world = World(StubClient(error, HELLO), StubPool(2, offers=[2]))

        await world.run(claimed(attempts=1, max_attempts=1, deadline_at=due(600)))

        assert world.ending.status == Status.COMPLETED
        assert world.retry["delay_seconds"] == 0

    async def test_where_the_others_are_only_full_their_room_is_waited_for(self) -> None:
        error = Exhausted("http_429", "no quota", status=429, retry_after_seconds=1800.0)
        world = World(StubClient(error), StubPool(2, offers=[None]))

        await world.run(claimed(deadline_at=due(600)))

        assert 0 < world.retry["delay_seconds"] < 10

    async def test_of_two_that_are_busy_the_first_to_return_counts(self) -> None:
        first = Busy("http_429", "slow", status=429, retry_after_seconds=90.0)
        second = Busy("http_429", "slow", status=429, retry_after_seconds=20.0)
        world = World(StubClient(first, second), StubPool(2, offers=[2]))

        await world.run(claimed(deadline_at=due(600)))

        assert 19 <= world.claims.retries[-1]["delay_seconds"] < 40

    async def test_one_that_does_not_say_when_is_waited_for_until_the_deadline(self) -> None:
        busy = Busy("http_503", "loading", status=503)
        waits, ends = World(StubClient(busy)), World(StubClient(busy))

        await waits.run(claimed(attempts=30, max_attempts=30, deadline_at=due(3)))
        await ends.run(claimed(attempts=30, max_attempts=30, deadline_at=due(0.5)))

        assert waits.retry["delay_seconds"] <= 2.1, "the jitter leaves time for a call"
        assert (ends.outbox.end["http_status"], ends.outbox.end["retry_after_seconds"]) == (
            429,
            5.0,
        )

    async def test_after_the_deadline_nothing_else_is_tried(self) -> None:
        world = World(StubClient(Busy("http_429", "slow", status=429)), StubPool(2, offers=[2]))

        await world.run(claimed(deadline_at=due(0.02)))

        assert world.outbox.end["http_status"] == 429
        assert world.pool.bound == []

    async def test_it_does_not_spin_for_ever(self) -> None:
        world = World(StubClient(Busy("http_429", "slow", status=429)))

        await world.run(claimed(attempts=MOST_CALLS, max_attempts=MOST_CALLS))

        assert world.outbox.end["http_status"] == 429

    async def test_a_failure_after_it_uses_up_an_attempt(self) -> None:
        busy = Busy("http_429", "slow", status=429)
        world = World(StubClient(busy, Unavailable("http_500", "no", status=500)),
                      StubPool(2, offers=[2]))  # fmt: skip

        await world.run(claimed(attempts=1, max_attempts=1))

        assert (world.ending.number, world.outbox.end["http_status"]) == (2, 0)


class TestWhoIsCharged:
    """B6, B5: which failures count against an endpoint."""

    async def test_an_answer_elsewhere_charges_the_one_that_failed(self) -> None:
        error = Unavailable("http_500", "no", status=500)
        world = World(StubClient(error, HELLO), StubPool(2, offers=[2]))

        await world.run(claimed())

        assert world.pool.endings[0].outcome is CallOutcome.DOUBTED
        assert world.pool.charged == [1]

    async def test_a_request_that_fails_everywhere_charges_nobody(self) -> None:
        error = Broken("malformed", "no choice")
        world = World(StubClient(error, error, error), StubPool(3, offers=[2, 3]))

        await world.run(claimed())

        outcomes = [ending.outcome for ending in world.pool.endings]
        assert outcomes == [CallOutcome.DOUBTED] * 3
        assert world.pool.charged == []

    @pytest.mark.parametrize(
        "error",
        [
            Unavailable("connect_failed", "no"),
            Unavailable("http_401", "no", status=401),
            TimedOut("connect_timeout", "no"),
        ],
    )
    async def test_what_no_request_can_cause_counts_at_once(self, error: CallError) -> None:
        world = World(StubClient(error, HELLO), StubPool(2, offers=[2]))

        await world.run(claimed())

        assert world.pool.endings[0].outcome is CallOutcome.FAILED
        assert world.pool.charged == []

    @pytest.mark.parametrize(
        ("error", "left"), [(DeadlinePassed(), 9.0), (TimedOut("total_timeout", "x"), 0.02)]
    )
    async def test_a_callers_own_deadline_marks_nobody(self, error: CallError, left: float) -> None:
        """B5: timers fire some milliseconds early."""
        world = World(StubClient(error))

        await world.run(claimed(deadline_at=due(left)))

        assert world.ending.status == Status.TIMEOUT
        assert world.pool.failing == []
        assert world.pool.endings[0].outcome is CallOutcome.SILENT


class TestFailover:
    async def test_what_would_be_unreadable_again_is_tried_elsewhere_only(self) -> None:
        """X15"""
        unparsable = Unparsable("bad_http", "no HTTP")
        alone = World(StubClient(unparsable), StubPool(1))
        helped = World(StubClient(unparsable, HELLO), StubPool(2, offers=[2]))

        await alone.run(claimed())
        await helped.run(claimed())

        assert (alone.ending.status, alone.ending.error_code) == (Status.FAILED, "bad_http")
        assert alone.pool.failing == [1]
        assert len(alone.client.calls) == 1
        assert [endpoint for endpoint, _ in helped.client.calls] == [1, 2]
        assert helped.ending.status == Status.COMPLETED

    async def test_another_endpoint_is_tried_at_once_under_the_same_lease(self) -> None:
        pool = StubPool(2, offers=[2])
        world = World(StubClient(Unavailable("connect_failed", "no"), HELLO), pool)
        job = claimed(stream=True)

        await world.run(job)

        assert [endpoint for endpoint, _ in world.client.calls] == [1, 2]
        assert world.retry["delay_seconds"] == 0
        assert (world.retry["number"], world.retry["endpoint_id"]) == (1, 1)
        assert (world.ending.status, world.ending.number) == (Status.COMPLETED, 2)
        assert (world.ending.endpoint_id, world.ending.why) == (2, '{"to":2}')
        assert world.pool.released == [1, 2]
        assert [attempt for attempt, _, _ in world.outbox.entries] == [1, 2, 2]

    async def test_when_the_others_are_full_it_waits(self) -> None:
        world = World(StubClient(Unavailable("http_503", "no")), StubPool(2, offers=[None]))

        await world.run(claimed())

        assert world.retry["delay_seconds"] > 0
        assert world.pool.released == [1]

    async def test_an_endpoint_that_failed_is_not_tried_again_at_once(self) -> None:
        error = Unavailable("http_503", "no")
        pool = StubPool(3, offers=[2, 1])
        world = World(StubClient(error, error), pool)

        await world.run(claimed())

        first, second = world.claims.retries
        assert (first["endpoint_id"], first["delay_seconds"]) == (1, 0)
        assert second["endpoint_id"] == 2, "the attempt is booked where it ran"
        assert second["delay_seconds"] > 0
        assert pool.bound == [2]

    async def test_while_slots_are_not_given_it_waits(self) -> None:
        pool = StubPool(2)
        pool.not_ready = True
        world = World(StubClient(Unavailable("http_503", "no")), pool)

        await world.run(claimed())

        assert world.retry["delay_seconds"] > 0

    async def test_a_lease_lost_meanwhile_ends_quietly(self) -> None:
        world = World(StubClient(Unavailable("http_503", "no")), StubPool(2, offers=[2]))
        world.claims.ours = False

        await world.run(claimed())

        assert len(world.client.calls) == 1
        assert [finish.status for finish in world.claims.finished] == [Status.CANCELLED]
        assert world.announced == [], "the fence refused it, so nothing is told"
        assert world.claims.returned == []
        assert world.pool.released == [1, 2], "the slot taken for nothing is free again"


class TestBrokenStream:
    async def test_on_v1_it_ends_with_an_error(self) -> None:
        world = World(StubClient(speaks(Broken("broken", "off"))), StubPool(2, offers=[2]))

        await world.run(claimed(stream=True))

        assert (world.ending.status, world.ending.error_code) == (Status.FAILED, "broken")
        assert world.outbox.kinds == [STARTED, DELTA, FINAL]
        assert world.claims.retries == []

    async def test_for_a_message_it_starts_over_after_a_reset(self) -> None:
        world = World(
            StubClient(speaks(Broken("broken", "off")), speaks(HELLO)), StubPool(2, offers=[2])
        )

        await world.run(claimed(stream=True, source="api"))

        assert [(a, k) for a, k, _ in world.outbox.entries] == [
            (1, STARTED),
            (1, DELTA),
            (1, RESET),
            (2, STARTED),
            (2, DELTA),
            (2, FINAL),
        ]
        assert world.ending.status == Status.COMPLETED

    async def test_before_the_first_token_v1_retries_too(self) -> None:
        world = World(StubClient(Broken("broken", "off"), HELLO), StubPool(2, offers=[2]))

        await world.run(claimed(stream=True))

        assert world.ending.status == Status.COMPLETED
        assert RESET not in world.outbox.kinds


class TestDeadline:
    async def test_the_rest_of_the_time_is_the_calls_limit(self) -> None:
        world = World(StubClient(HELLO))

        await world.run(claimed(deadline_at=datetime.now(UTC) + timedelta(seconds=50)))

        ((_, call),) = world.client.calls
        assert 45 < call.timeouts.deadline <= 50
        assert call.timeouts.total > 3600, "nothing else cuts a long answer"

    async def test_a_passed_one_is_never_sent(self) -> None:
        world = World(StubClient(), StubPool(2, offers=[2]))

        await world.run(claimed(deadline_at=datetime.now(UTC) - timedelta(seconds=1)))

        assert world.client.calls == []
        assert (world.ending.status, world.ending.outcome) == (Status.TIMEOUT, "timeout")
        assert world.outbox.end["status"] == "timeout"
        assert world.claims.retries == []

    async def test_a_passed_one_is_not_the_endpoints_fault(self) -> None:
        world = World(StubClient())

        await world.run(claimed(deadline_at=datetime.now(UTC) - timedelta(seconds=1)))

        assert world.pool.failing == []

    async def test_a_call_that_it_ends_is_the_callers_end(self) -> None:
        """B5: the worker's clock still shows some milliseconds, and it counts all the same."""
        job = claimed(deadline_at=datetime.now(UTC) + timedelta(seconds=60))
        world = World(StubClient(DeadlinePassed()), StubPool(2, offers=[2]))

        await world.run(job)

        assert (world.ending.status, world.ending.outcome) == (Status.TIMEOUT, "timeout")
        assert world.pool.failing == []
        assert [ending.outcome for ending in world.pool.endings] == [CallOutcome.SILENT]
        assert world.claims.retries == []

    async def test_silence_is_limited_by_the_models_pool(self) -> None:
        world = World(StubClient(HELLO, HELLO))
        world.pool.silence = (7.0, None)

        await world.run(claimed(stream=True))

        ((_, call),) = world.client.calls
        setting = configuration().balancing.stall_timeout
        assert (call.timeouts.first_token, call.timeouts.stall) == (7.0, setting)

    async def test_without_time_left_there_is_no_further_attempt(self) -> None:
        job = claimed(deadline_at=datetime.now(UTC) + timedelta(seconds=60))

        async def slow(on_chunk: OnChunk) -> CallError:
            job.deadline_at = datetime.now(UTC) - timedelta(seconds=1)
            return TimedOut("total_timeout", "no answer")

        world = World(StubClient(slow), StubPool(2, offers=[2]))

        await world.run(job)

        assert world.ending.status == Status.TIMEOUT


class TestStopping:
    async def test_a_cancelled_job_ends_and_frees_its_slot(self) -> None:
        world = World(StubClient(for_ever))
        job = claimed()
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.CANCELLED)
        await task

        assert (world.ending.status, world.ending.outcome) == (Status.CANCELLED, "cancelled")
        assert world.outbox.end["status"] == "cancelled"
        assert world.pool.released == [1]

    async def test_a_job_whose_lease_was_lost_stores_and_tells_nothing(self) -> None:
        world = World(StubClient(for_ever))
        job = claimed()
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.LOST)
        await task

        assert world.claims.finished == []
        assert world.claims.returned == []
        assert world.claims.retries == []
        assert FINAL not in world.outbox.kinds
        assert world.pool.released == [1]

    @pytest.mark.parametrize(
        ("step", "source", "kinds"),
        [
            pytest.param(for_ever, "api", [STARTED, DELTA, RESET], id="it spoke"),
            pytest.param(silent, "api", [STARTED], id="it was silent"),
        ],
    )
    async def test_shutting_down_gives_the_job_back(
        self, step: Step, source: str, kinds: list[str]
    ) -> None:
        world = World(StubClient(step))
        job = claimed(stream=True, source=source)
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.SHUTDOWN)
        await task

        assert world.claims.returned == [(job, True)], "its stream has entries of this attempt"
        assert world.outbox.kinds == kinds
        assert world.claims.finished == []
        assert world.pool.released == [1]

    @pytest.mark.parametrize(
        ("step", "streamed", "ends"),
        [
            pytest.param(for_ever, True, ["attempt_lost"], id="its client has text"),
            pytest.param(silent, True, [], id="its client has nothing"),
            pytest.param(for_ever, False, [], id="it is answered in one piece"),
        ],
    )
    async def test_shutting_down_ends_a_plain_stream_that_spoke(
        self, step: Step, streamed: bool, ends: list[str]
    ) -> None:
        world = World(StubClient(step))
        job = claimed(stream=streamed)
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.SHUTDOWN)
        await task

        assert [finish.error_code for finish in world.claims.finished] == ends
        assert len(world.claims.returned) == (0 if ends else 1)
        assert RESET not in world.outbox.kinds or not ends

    async def test_the_first_reason_counts(self) -> None:
        world = World(StubClient(for_ever))
        job = claimed()
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.LOST)
        world.runner.stop(job.id, Stop.CANCELLED)
        await task

        assert world.claims.finished == []

    async def test_nothing_stops_a_job_whose_end_is_being_stored(self) -> None:
        world = World(StubClient(HELLO))
        job, stored = claimed(), asyncio.Event()
        store = world.claims.finish

        async def slow(outcome: Finish) -> bool:
            await stored.wait()
            return await store(outcome)

        world.claims.finish = slow  # type: ignore[method-assign]
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.CANCELLED)
        stored.set()
        await task

        assert world.ending.status == Status.COMPLETED

    async def test_a_job_that_is_not_here_is_nobodys(self) -> None:
        World(StubClient()).runner.stop(claimed().id, Stop.CANCELLED)


async def test_a_spent_retry_budget_holds_the_job_instead_of_failing_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(StubClient(Unavailable("http_503", "down")), StubPool(size=2, offers=[2]))
    monkeypatch.setattr(world.runner._budgets, "put_off", lambda *_: 7.0)

    await world.run(claimed())

    assert world.pool.bound == []
    assert world.retry["delay_seconds"] >= 7.0
    assert "retry budget is spent" in world.retry["error_message"]
    assert world.claims.finished == [], "it is held, not lost"
