"""A second call where the first one's first token is overdue; whichever speaks first is kept.

The first call runs in the job's own task, as it would without this; the second one in a task of its
own, with its own slot at another endpoint. Who wins is decided once (`race.py`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import psycopg
import structlog

from balancing import metrics
from balancing.calls.answer import Answer
from balancing.errors import CallError, DeadlinePassed
from balancing.kinds.call import Call
from balancing.policies.hedging import Budget, Hedging
from llmqueue_project.config import configuration
from scheduling.dispatch.endings import SideCall
from scheduling.dispatch.slot import Placement
from scheduling.execution.call import EndpointCall, prepare
from scheduling.execution.contracts import Caller, Endpoints, Entries, Leases
from scheduling.execution.race import Race
from scheduling.execution.run import Run
from scheduling.models import Attempt

log = structlog.get_logger(__name__)
WON, LOST_RACE, FAILED = "won", "lost", "failed"


class Hedger:
    """Calls endpoints for jobs, twice where that is worth it. One budget a worker process."""

    def __init__(
        self,
        *,
        claims: Leases,
        pool: Endpoints,
        client: Caller,
        outbox: Entries,
    ) -> None:
        config = configuration().balancing
        self._config = config
        self._claims = claims
        self._pool = pool
        self._client = client
        self._outbox = outbox
        self._budget = Budget()
        self.rule = Hedging(
            factor=config.hedge_factor,
            extra_seconds=config.hedge_extra_seconds,
            most=config.hedge_share,
            levels=tuple(config.hedge_levels),
        )

    async def call(self, run: Run) -> Answer:
        """Run a job's call to its end, with a hedge where one is due.

        Raises:
            CallError: no call was answered; `run.call` is the one that failed last.
        """
        race = Race(run, self._outbox)
        asked = self._prepared(race, run.placement)
        self._budget = self.rule.earn(self._budget)
        first = run.call
        first.begin()
        timer = self._timer(race)
        try:
            answer = await self._client.call(first.target, asked, race.listener(first))
            race.decide(first)
        except asyncio.CancelledError:
            if run.stop or race.winner in (None, first):
                raise
            # The hedge spoke first and ended this call.
            if run.task is not None:
                run.task.uncancel()
            return await self._take_over(race, first)
        except CallError as error:
            if race.winner is first or race.second is None:
                raise
            race.is_alone = True
            return await self._take_over(race, first, error)
        finally:
            if timer is not None:
                timer.cancel()
            await self._stop_hedge(race)
        first.answered(answer)
        return answer

    def _prepared(self, race: Race, placement: Placement) -> Call:
        return prepare(race.run.job, placement, self._config, self._pool.rules(race.model))

    def _timer(self, race: Race) -> asyncio.TimerHandle | None:
        """Set the hedge's alarm; None where there is to be none."""
        first_seconds = race.run.placement.first_seconds
        if first_seconds <= 0.0 or not self.rule.applies_to(race.run.level):
            return None
        if not self._pool.rules(race.model).hedging:
            return None
        seconds = self.rule.after_seconds(first_seconds)
        return asyncio.get_running_loop().call_later(seconds, self._start, race)

    def _start(self, race: Race) -> None:
        run = race.run
        tried = frozenset({run.call.target.id, *run.tried})
        if race.winner is not None:
            return
        if not self._pool.others_serving(race.model, tried, run.job.api):
            return
        left = self.rule.spend(self._budget)
        if left is None:
            return
        self._budget = left
        race.task = asyncio.create_task(self._second(race, tried))

    async def _second(self, race: Race, tried: frozenset[int]) -> Answer | None:
        """The hedge's answer; None where it had no room, or failed while the first call went on."""
        taking = asyncio.ensure_future(self._take_slot(race, tried))
        try:
            second = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # Nobody else would free a slot that is being taken just now.
            late = await taking
            if late is not None:
                await late.release()
            raise
        if second is None:
            self._budget = Budget(self._budget.hedges + 1.0)
            return None
        race.second = race.run.hedge = second
        try:
            asked = self._prepared(race, second.placement)
            second.begin()
            answer = await self._client.call(second.target, asked, race.listener(second))
        except CallError as error:
            second.failed(error)
            if race.winner is second or race.is_alone:
                raise
            race.second = race.run.hedge = None
            await self._lose(race.run, second, Attempt.Outcome.ERROR, error)
            return None
        second.answered(answer)
        race.decide(second)
        return answer

    async def _take_slot(self, race: Race, tried: frozenset[int]) -> EndpointCall | None:
        # A lease of its own: rate limits are settled by lease, too.
        job = replace(race.run.job, lease_token=uuid4())
        first = race.run.call.target.name
        slot = await self._pool.take_slot(job, [race.model], tried, {"hedge": first})
        if slot is None:
            return None
        log.info("attempt.hedged", job=str(job.id), first=first, second=slot.target.name)
        return EndpointCall(slot, streamed=job.stream, is_hedge=True)

    async def _take_over(
        self, race: Race, first: EndpointCall, error: CallError | None = None
    ) -> Answer:
        """The hedge is the job's call from here on."""
        run, second, task = race.run, race.second, race.task
        if second is None or task is None:
            raise RuntimeError("there is no hedge to take over")
        run.call, run.hedge = second, None
        if error is None:
            first.overdue()
            await self._lose(run, first, Attempt.Outcome.CANCELLED)
        else:
            first.failed(error)
            run.tried.add(first.target.id)
            await self._lose(run, first, Attempt.Outcome.ERROR, error)
        answer = await task
        if answer is None:
            raise RuntimeError("a hedge that is alone ends with an answer or an error")
        metrics.hedges.labels(second.target.name, WON).inc()
        return answer

    async def _stop_hedge(self, race: Race) -> None:
        """The first call has decided it, or the job was stopped: free what the hedge holds."""
        task, second = race.task, race.second
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if second is not None and second is not race.run.call and second.slot.is_held:
            race.run.hedge = None
            await self._lose(race.run, second, Attempt.Outcome.CANCELLED)

    async def _lose(
        self,
        run: Run,
        call: EndpointCall,
        outcome: Attempt.Outcome,
        error: CallError | None = None,
    ) -> None:
        """Free the slot of the call that does not count, and keep a record of it."""
        await call.release()
        if isinstance(error, DeadlinePassed):
            outcome = Attempt.Outcome.TIMEOUT
        if call.is_hedge:
            word = LOST_RACE if error is None else FAILED
            metrics.hedges.labels(call.target.name, word).inc()
        if error is not None and error.retryable:
            self._pool.mark_failing(call.target)
        lost = SideCall(
            endpoint_id=call.target.id,
            endpoint_name=call.target.name,
            outcome=outcome,
            error_code=error.code if error else "hedge_lost",
            error_message=str(error) if error else "another call of it spoke first",
            seconds=asyncio.get_running_loop().time() - call.began,
            why=call.placement.why,
        )
        try:
            await self._claims.note(run.job, lost)
        except psycopg.OperationalError as away:
            log.info("attempt.not_noted", job=str(run.job.id), error=str(away))
