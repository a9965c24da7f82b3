"""Two calls for one job: the first to speak is kept, and never two answers. Stubs throughout."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from balancing.calls.answer import Answer, OnChunk, Piece
from balancing.errors import Broken, DeadlinePassed, Unavailable
from balancing.live.state import CallOutcome
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.slot import Slot
from scheduling.execution.run import Stop
from scheduling.models import Priority, Status
from scheduling.outbox import DELTA, FINAL, STARTED
from tests.hot_path import claimed
from tests.unit.scheduling.execution.test_runner import StubClient, StubPool, World, settled

ANSWER = Answer(body='{"a":1}', text="hello", prompt_tokens=3, completion_tokens=2)
FAILED = Unavailable("http_503", "no")


class Slow:
    """A call that says nothing until the test lets it speak or end."""

    def __init__(self) -> None:
        self.called = asyncio.Event()
        self.stopped = False
        self._steps: asyncio.Queue[Any] = asyncio.Queue()

    async def __call__(self, on_chunk: OnChunk) -> Any:
        self.called.set()
        try:
            while isinstance(step := await self._steps.get(), str):
                on_chunk(step, Piece.CONTENT)
        except asyncio.CancelledError:
            self.stopped = True
            raise
        return step

    async def does(self, *steps: Any) -> None:
        for step in steps:
            self._steps.put_nowait(step)
        await settled()
        await settled()


class HedgedWorld(World):
    """Endpoint 1 is called first; endpoint 2 has room for a hedge, which is due at once."""

    def __init__(
        self, *steps: Any, offers: Sequence[int | None] = (2,), budget: float = 1.0
    ) -> None:
        super().__init__(StubClient(*steps), StubPool(2, offers))
        hedger: Any = self.runner._hedger
        hedger.rule = type(hedger.rule)(factor=1.0, extra_seconds=0.0)
        hedger._budget = type(hedger._budget)(budget)
        self.hedger = hedger

    def begin(self, job: Claimed, first_seconds: float = 0.001) -> asyncio.Task[None]:
        return super().begin(job, first_seconds)

    @property
    def texts(self) -> list[str]:
        return [data for _, kind, data in self.outbox.entries if kind == DELTA]

    @property
    def lost(self) -> list[tuple[int, str, str]]:
        return [(n.endpoint_id, n.outcome.value, n.error_code) for n in self.claims.notes]


def urgent(**fields: Any) -> Claimed:
    return claimed(**{"level": int(Priority.REALTIME), "stream": True, **fields})


async def overdue() -> None:
    await asyncio.sleep(0.01)


class TestRace:
    async def test_the_hedge_speaks_first_and_is_kept(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        job = urgent()
        task = world.begin(job)
        await second.called.wait()

        await second.does("from 2")
        await second.does(ANSWER)
        await task

        assert first.stopped
        assert world.texts == ["from 2"]
        assert (world.ending.status, world.ending.endpoint_id) == (Status.COMPLETED, 2)
        assert world.pool.released == [1, 2]
        assert world.lost == [(1, "cancelled", "hedge_lost")]
        assert world.pool.endings[0].first_token_seconds > 0, "it is known to be that slow"
        started = [orjson.loads(d)["endpoint"] for _, k, d in world.outbox.entries if k == STARTED]
        assert started == ["e1", "e2"]

    async def test_the_first_call_speaks_first_and_is_kept(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await first.does("from 1")
        await second.does("from 2")
        await first.does("more of 1", ANSWER)
        await task

        assert second.stopped
        assert world.texts == ["from 1", "more of 1"]
        assert world.ending.endpoint_id == 1
        assert sorted(world.pool.released) == [1, 2]
        assert world.lost == [(2, "cancelled", "hedge_lost")]

    async def test_both_answer_in_one_moment_and_one_counts(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent(stream=False))
        await second.called.wait()

        second._steps.put_nowait(ANSWER)
        first._steps.put_nowait(Answer(body='{"b":2}'))
        await task

        assert len(world.claims.finished) == 1
        assert world.outbox.kinds.count(FINAL) == 1
        assert sorted(world.pool.released) == [1, 2]

    async def test_an_answer_that_is_not_streamed_is_raced_too(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent(stream=False))
        await second.called.wait()

        await second.does(ANSWER)
        await task

        assert first.stopped
        assert world.ending.endpoint_id == 2
        assert world.outbox.end["body"] == '{"a":1}'


class TestFailures:
    async def test_when_the_first_call_fails_the_hedge_goes_on(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await first.does(FAILED)
        await second.does("from 2", ANSWER)
        await task

        assert world.ending.endpoint_id == 2
        assert world.claims.retries == [], "it is still the same attempt"
        assert world.lost == [(1, "error", "http_503")]
        assert world.pool.failing == [1]

    async def test_when_the_hedge_fails_the_first_call_goes_on(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await second.does(FAILED)
        await first.does("from 1", ANSWER)
        await task

        assert world.ending.endpoint_id == 1
        assert world.lost == [(2, "error", "http_503")]
        assert world.pool.released == [2, 1]

    async def test_when_both_fail_the_job_is_tried_again(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await first.does(FAILED)
        await second.does(FAILED)
        await task

        assert world.retry["endpoint_id"] == 2
        assert sorted(world.pool.released) == [1, 2]

    async def test_a_deadline_that_ends_both_is_nobodys_fault(self) -> None:
        """B5: neither endpoint is marked, nor has an error in its record."""
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await second.does(DeadlinePassed())
        await first.does(DeadlinePassed())
        await task

        assert (world.ending.status, world.ending.outcome) == (Status.TIMEOUT, "timeout")
        assert world.lost == [(2, "timeout", "deadline")]
        assert world.pool.failing == []
        assert {ending.outcome for ending in world.pool.endings} == {CallOutcome.SILENT}

    async def test_a_hedge_that_breaks_off_after_it_spoke_ends_a_stream(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await second.does("from 2", Broken("broken", "off"))
        await task

        assert (world.ending.status, world.ending.error_code) == (Status.FAILED, "broken")
        assert world.texts == ["from 2"]
        assert world.pool.released == [1, 2]


class TestStopping:
    @pytest.mark.parametrize("reason", [Stop.CANCELLED, Stop.SHUTDOWN])
    async def test_both_slots_are_freed(self, reason: Stop) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        job = urgent()
        task = world.begin(job)
        await second.called.wait()

        world.runner.stop(job.id, reason)
        await task

        assert first.stopped
        assert second.stopped
        assert sorted(world.pool.released) == [1, 2]

    async def test_after_the_hedge_won_it_is_the_hedge_that_is_stopped(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        job = urgent()
        task = world.begin(job)
        await second.called.wait()
        await second.does("from 2")

        world.runner.stop(job.id, Stop.CANCELLED)
        await task

        assert second.stopped
        assert world.ending.status == Status.CANCELLED
        assert sorted(world.pool.released) == [1, 2]

    async def test_a_slot_that_was_being_taken_is_freed(self) -> None:
        first, gate = Slow(), asyncio.Event()
        world = HedgedWorld(first)
        take_slot = world.pool.take_slot

        async def slowly(*values: Any) -> Slot | None:
            await gate.wait()
            return await take_slot(*values)

        world.pool.take_slot = slowly  # type: ignore[method-assign,assignment]
        task = world.begin(urgent())
        await overdue()

        await first.does("from 1", ANSWER)
        gate.set()
        await task

        assert world.ending.endpoint_id == 1
        assert sorted(world.pool.released) == [1, 2]

    async def test_both_slots_are_renewed(self) -> None:
        first, second = Slow(), Slow()
        world = HedgedWorld(first, second)
        job = urgent()
        task = world.begin(job)
        await second.called.wait()

        (one, lease), (two, other) = world.runner.running[job.id].slots
        assert (one, lease, two) == (1, job.lease, 2)
        assert other != lease, "rate limits are settled by lease"

        await first.does("from 1", ANSWER)
        await task


class TestWhetherAtAll:
    async def unhedged(self, world: HedgedWorld, job: Claimed, first: Slow, **options: Any) -> None:
        task = world.begin(job, **options)
        await first.called.wait()
        await overdue()
        await first.does("from 1", ANSWER)
        await task
        assert [endpoint for endpoint, _ in world.client.calls] == [1]
        assert world.ending.endpoint_id == 1

    @pytest.mark.parametrize("level", [Priority.NORMAL, Priority.LOW])
    async def test_lower_levels_are_not_hedged(self, level: Priority) -> None:
        first = Slow()

        await self.unhedged(HedgedWorld(first), urgent(level=int(level)), first)

    async def test_a_pool_may_forbid_it(self) -> None:
        first = Slow()
        world = HedgedWorld(first)
        world.pool.hedging = False

        await self.unhedged(world, urgent(), first)

    async def test_without_a_measure_nothing_is_overdue(self) -> None:
        first = Slow()

        await self.unhedged(HedgedWorld(first), urgent(), first, first_seconds=0.0)

    async def test_without_budget_there_is_none(self) -> None:
        first = Slow()

        await self.unhedged(HedgedWorld(first, budget=0.5), urgent(), first)

    async def test_a_full_pool_gives_the_budget_back(self) -> None:
        first = Slow()
        world = HedgedWorld(first, offers=[None])
        task = world.begin(urgent())
        while not world.pool.asked:
            await asyncio.sleep(0.001)
        await settled()

        await first.does("from 1", ANSWER)
        await task

        assert world.hedger._budget.hedges >= 1.0
        assert world.claims.notes == []

    async def test_a_call_that_spoke_in_time_is_left_alone(self) -> None:
        first = Slow()
        world = HedgedWorld(first)
        task = world.begin(urgent(), first_seconds=0.05)
        await first.called.wait()
        await first.does("from 1")
        await asyncio.sleep(0.06)

        await first.does(ANSWER)
        await task

        assert len(world.client.calls) == 1

    async def test_requests_earn_the_budget(self) -> None:
        first = Slow()
        world = HedgedWorld(first, budget=0.0)

        await self.unhedged(world, urgent(), first)

        assert world.hedger._budget.hedges == pytest.approx(0.03)
