"""A second call where the first one's first token is overdue; whichever speaks first is kept.

The first call runs in the job's own task, as it would without this; the second one in a task of its
own, with its own slot at another endpoint. `_Race.winner` is decided once, by the first chunk or
whole answer, and nothing of the other call is passed on after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import structlog
from redis.exceptions import RedisError

from balancing import metrics
from balancing.calls.answer import Answer, OnChunk
from balancing.calls.client import Client
from balancing.errors import CallError
from balancing.live.slots import NotReady
from balancing.policies.hedging import Budget, Hedging
from llmqueue_project.config import configuration
from scheduling.dispatch.claims import Claims
from scheduling.dispatch.pool import EndpointPool
from scheduling.execution.call import Side, prepare, start_of
from scheduling.execution.run import Running
from scheduling.models import Attempt
from scheduling.outbox import DELTA, STARTED, USAGE, Outbox

log = structlog.get_logger(__name__)
WON, LOST_RACE, FAILED = "won", "lost", "failed"


class Hedger:
    """Calls endpoints for jobs, twice where that is worth it. One budget a worker process."""

    def __init__(
        self,
        *,
        claims: Claims,
        pool: EndpointPool,
        client: Client,
        outbox: Outbox,
        release: Callable[[Side], Awaitable[None]],
    ) -> None:
        config = configuration().balancing
        self._config = config
        self._claims = claims
        self._pool = pool
        self._client = client
        self._outbox = outbox
        self._release = release
        self._budget = Budget()
        self.rule = Hedging(
            factor=config.hedge_factor,
            extra_seconds=config.hedge_extra_seconds,
            most=config.hedge_share,
            levels=tuple(config.hedge_levels),
        )

    async def call(self, run: Running) -> Answer:
        """Run a job's call to its end, with a hedge where one is due.

        Raises:
            CallError: no call was answered; `run.side` is the one that failed last.
        """
        call = prepare(run.job, run.bound, self._config)
        self._budget = self.rule.earn(self._budget)
        race = _Race(run, self._outbox)
        side = run.side
        side.begin()
        timer = self._timer(race)
        try:
            answer = await self._client.call(side.bound.target, call, race.listener(side))
            race.decide(side)
        except asyncio.CancelledError:
            if run.stop or race.winner in (None, side):
                raise
            # The hedge spoke first and ended this call.
            if run.task is not None:
                run.task.uncancel()
            return await self._take_over(race, side)
        except CallError as error:
            if race.winner is side or race.second is None:
                raise
            race.is_alone = True
            return await self._take_over(race, side, error)
        finally:
            if timer is not None:
                timer.cancel()
            await self._stop_hedge(race)
        side.answered(answer)
        return answer

    def _timer(self, race: _Race) -> asyncio.TimerHandle | None:
        """Set the hedge's alarm; None where there is to be none."""
        run = race.run
        bound = run.bound
        if bound.first_seconds <= 0.0 or not self.rule.applies_to(run.level):
            return None
        model = bound.model or run.job.model
        if not self._pool.rules(model).hedging:
            return None
        seconds = self.rule.after_seconds(bound.first_seconds)
        return asyncio.get_running_loop().call_later(seconds, self._start, race)

    def _start(self, race: _Race) -> None:
        model = race.run.bound.model or race.run.job.model
        tried = frozenset({race.run.bound.target.id, *race.run.tried})
        if race.winner is not None or not self._pool.others_serving(model, tried, race.run.job.api):
            return
        left = self.rule.spend(self._budget)
        if left is None:
            return
        self._budget = left
        race.task = asyncio.create_task(self._second(race, model, tried))

    async def _second(self, race: _Race, model: str, tried: frozenset[int]) -> Answer | None:
        """The hedge's answer; None where it had no room, or failed while the first call went on."""
        taking = asyncio.ensure_future(self._take_slot(race.run, model, tried))
        try:
            side = await asyncio.shield(taking)
        except asyncio.CancelledError:
            # Nobody else would free a slot that is being taken just now.
            late = await taking
            if late is not None:
                await self._release(late)
            raise
        if side is None:
            self._budget = Budget(self._budget.hedges + 1.0)
            return None
        race.second = race.run.hedge = side
        try:
            call = prepare(race.run.job, side.bound, self._config)
            side.begin()
            answer = await self._client.call(side.bound.target, call, race.listener(side))
        except CallError as error:
            side.failed(error)
            if race.winner is side or race.is_alone:
                raise
            race.second = race.run.hedge = None
            await self._lose(race.run, side, Attempt.Outcome.ERROR, error)
            return None
        side.answered(answer)
        race.decide(side)
        return answer

    async def _take_slot(self, run: Running, model: str, tried: frozenset[int]) -> Side | None:
        # A lease of its own: rate limits are settled by lease, too.
        job, name = replace(run.job, lease_token=uuid4()), run.bound.target.name
        fallback = model if model != job.model else ""
        try:
            reservation = await self._pool.reserve(1)
            (bound,) = self._pool.choose(
                reservation, [job], tried, model=fallback, because={"hedge": name}
            )
            if bound is not None and bound.target.id in tried:
                bound = None
            await self._pool.bind(reservation, [job], [bound])
        except (RedisError, NotReady, psycopg.OperationalError):
            return None
        if bound is None:
            return None
        log.info("attempt.hedged", job=str(job.id), first=name, second=bound.target.name)
        return Side(bound, job.lease, job.stream, is_hedge=True)

    async def _take_over(self, race: _Race, first: Side, error: CallError | None = None) -> Answer:
        """The hedge is the job's call from here on."""
        run, second, task = race.run, race.second, race.task
        if second is None or task is None:
            raise RuntimeError("there is no hedge to take over")
        run.side, run.hedge = second, None
        if error is None:
            first.overdue()
            await self._lose(run, first, Attempt.Outcome.CANCELLED)
        else:
            first.failed(error)
            run.tried.add(first.bound.target.id)
            await self._lose(run, first, Attempt.Outcome.ERROR, error)
        answer = await task
        if answer is None:
            raise RuntimeError("a hedge that is alone ends with an answer or an error")
        metrics.hedges.labels(second.bound.target.name, WON).inc()
        return answer

    async def _stop_hedge(self, race: _Race) -> None:
        """The first call has decided it, or the job was stopped: free what the hedge holds."""
        task, second = race.task, race.second
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        if second is not None and second is not race.run.side and second.holds_slot:
            race.run.hedge = None
            await self._lose(race.run, second, Attempt.Outcome.CANCELLED)

    async def _lose(
        self, run: Running, side: Side, outcome: Attempt.Outcome, error: CallError | None = None
    ) -> None:
        """Free the slot of the call that does not count, and keep a record of it."""
        await self._release(side)
        if side.is_hedge:
            word = LOST_RACE if error is None else FAILED
            metrics.hedges.labels(side.bound.target.name, word).inc()
        if error is not None and error.retryable:
            self._pool.mark_failing(side.bound.target)
        try:
            await self._claims.note(
                run.job,
                endpoint_id=side.bound.target.id,
                endpoint_name=side.bound.target.name,
                outcome=outcome,
                error_code=error.code if error else "hedge_lost",
                error_message=str(error) if error else "another call of it spoke first",
                seconds=asyncio.get_running_loop().time() - side.began,
                why=side.bound.why,
            )
        except psycopg.OperationalError as away:
            log.info("attempt.not_noted", job=str(run.job.id), error=str(away))


class _Race:
    """The calls of one job, of which the first to speak is kept."""

    def __init__(self, run: Running, outbox: Outbox) -> None:
        self.run = run
        self.winner: Side | None = None
        self.second: Side | None = None
        self.task: asyncio.Task[Answer | None] | None = None
        self.is_alone = False
        self._outbox = outbox

    def decide(self, side: Side) -> None:
        """The first to speak wins; a hedge that does ends the first call."""
        if self.winner is not None:
            return
        self.winner = side
        if side is self.second and not self.is_alone and self.run.task is not None:
            self.run.task.cancel()

    def listener(self, side: Side) -> OnChunk:
        run = self.run

        def on_chunk(chunk: str, is_usage: bool) -> None:
            if self.winner is not side:
                if self.winner is not None or is_usage:
                    return
                self.decide(side)
                if side is self.second and run.feed.keep:
                    self._outbox.put(run.feed, STARTED, start_of(run.job, side.bound))
            run.pieces += 1
            if not run.spoke and not is_usage:
                run.spoke = True
                run.first_token_at = datetime.now(UTC)
                side.spoke()
            self._outbox.put(run.feed, USAGE if is_usage else DELTA, chunk)

        return on_chunk
