"""One job from claim to end: call, deltas, retry on another endpoint, the one stored result."""

from __future__ import annotations

import asyncio
import random
from uuid import UUID

import psycopg
import structlog
from redis.exceptions import RedisError

from balancing.calls.client import Client
from balancing.errors import CallError
from balancing.live.slots import NotReady
from llmqueue_project.config import configuration
from scheduling import metrics
from scheduling.dispatch.claims import Claimed, Claims
from scheduling.dispatch.pool import Bound, EndpointPool
from scheduling.execution.call import Side, start_of
from scheduling.execution.hedging import Hedger
from scheduling.execution.outcomes import Outcomes
from scheduling.execution.retry_budgets import RetryBudgets
from scheduling.execution.run import CANCELLED, LOST, Running
from scheduling.models import Source, Status
from scheduling.outbox import RESET, STARTED, JobStream, Outbox
from scheduling.policies.retry import backoff_seconds
from scheduling.spending import Spent, of_failure
from scheduling.tickets.gate import Gate

log = structlog.get_logger(__name__)


class Runner:
    """Runs jobs; `running` is what this process is doing now."""

    def __init__(
        self,
        *,
        claims: Claims,
        pool: EndpointPool,
        gate: Gate,
        client: Client,
        outbox: Outbox,
        outcomes: Outcomes,
    ) -> None:
        self._claims = claims
        self._pool = pool
        self._gate = gate
        self._outbox = outbox
        self._outcomes = outcomes
        self._scheduling = configuration().scheduling
        self._budgets = RetryBudgets()
        self._hedger = Hedger(
            claims=claims, pool=pool, client=client, outbox=outbox, release=self._release
        )
        self._rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._releasing: set[asyncio.Task[None]] = set()
        self.running: dict[UUID, Running] = {}

    async def run(self, job: Claimed, bound: Bound, binding: asyncio.Task[None]) -> None:
        """Take a leased job with a slot to its end; `binding` is the slot being written down."""
        side = Side(bound, job.lease, job.stream, binding)
        run = Running(job, side, JobStream.of(job, job.attempts))
        run.task = asyncio.current_task()
        self.running[job.id] = run
        metrics.wait_seconds.labels(run.level).observe(run.waited_seconds)
        if job.attempts <= 1:
            self._budgets.called(bound.target.id)
        try:
            await self._attempts(run)
        except asyncio.CancelledError:
            await self._stopped(run)
        except psycopg.OperationalError as error:
            # The lease runs out and the sweep of whoever is left takes over.
            log.warning("job.left_to_its_lease", job=str(job.id), error=str(error))
        except Exception:
            log.exception("job.crashed", job=str(job.id))
            await self._outcomes.end(
                run, Status.FAILED, "internal_error", "the worker failed", "error"
            )
        finally:
            self.running.pop(job.id, None)
            await self._release(run.side)

    def stop(self, job_id: UUID, reason: str) -> None:
        """End a running job; the reason decides what becomes of it."""
        run = self.running.get(job_id)
        if run is not None and not run.stop and not run.ending and run.task is not None:
            run.stop = reason
            run.task.cancel()

    async def _attempts(self, run: Running) -> None:
        while True:
            if run.feed.keep:
                self._outbox.put(run.feed, STARTED, start_of(run.job, run.bound))
            try:
                answer = await self._hedger.call(run)
            except CallError as error:
                self._note_failure(run, error)
                await self._release(run.side)
                if not await self._again(run, error):
                    return
            else:
                self._pool.spent(run.side.lease, answer.tokens)
                self._release_soon(run)
                self._pool.mark_well(run.bound.target)
                metrics.attempts.labels(run.bound.target.name, "ok").inc()
                await self._outcomes.complete(run, answer)
                return

    def _note_failure(self, run: Running, error: CallError) -> None:
        target, job = run.bound.target, run.job
        metrics.attempts.labels(target.name, error.code).inc()
        if not run.out_of_time:
            run.side.failed(error)
            if error.retryable:
                self._pool.mark_failing(target)
        run.tried.add(target.id)
        log.info(
            "attempt.failed",
            job=str(job.id),
            request_id=job.request_id,
            endpoint=target.name,
            attempt=job.attempts,
            code=error.code,
            error=str(error),
        )

    async def _again(self, run: Running, error: CallError) -> bool:
        """Whether a further attempt began; otherwise the job was held or has ended."""
        job = run.job
        if run.out_of_time:
            await self._outcomes.end(
                run, Status.TIMEOUT, "timeout", "the request's time was up", "timeout"
            )
            return False
        broken_stream = run.spoke and job.source == Source.OPENAI and job.stream
        if not error.retryable or broken_stream or job.attempts >= job.max_attempts:
            await self._outcomes.end(run, Status.FAILED, error.code, error.public, "error", error)
            return False
        if run.spoke:
            self._outbox.put(run.feed, RESET, "{}")
        put_off = self._budgets.put_off(run.bound.target.id, run.bound.target.name)
        if not put_off and await self._fail_over(run, error):
            return True
        await self._hold(run, error, put_off)
        return False

    async def _fail_over(self, run: Running, error: CallError) -> bool:
        """Move to another endpoint at once, when one has room, under the same lease."""
        job = run.job
        bound = await self._elsewhere(run)
        if bound is None:
            return False
        failed = run.bound
        run.side = Side(bound, job.lease, job.stream)
        ours = await self._claims.retry(
            job,
            delay_seconds=0,
            endpoint_id=failed.target.id,
            endpoint_name=failed.target.name,
            error_code=error.code,
            error_message=str(error),
            public=error.public,
            first_token_at=run.first_token_at,
            why=failed.why,
            spent=self._charge(run, failed),
        )
        if not ours:
            run.stop = CANCELLED
            raise asyncio.CancelledError
        job.attempts += 1
        run.feed.attempt, run.feed.seq = job.attempts, 0
        run.spoke, run.pieces, run.first_token_at = False, 0, None
        return True

    def _charge(self, run: Running, bound: Bound) -> Spent:
        """What a failed attempt cost."""
        spent = of_failure(bound.target, bound.model or run.job.model, run.job.body, run.pieces)
        metrics.count_spent(run.job.model, bound.target.name, spent)
        return spent

    async def _elsewhere(self, run: Running) -> Bound | None:
        """A slot at an endpoint that has not failed this job: of its model, else of a fallback."""
        job, tried = run.job, frozenset(run.tried)
        models = [job.model]
        if job.allow_fallback:
            models += self._pool.rules(job.model).fallback_models
        models = [m for m in models if self._pool.others_serving(m, tried, job.api)]
        if not models:
            return None
        bound: Bound | None = None
        because = {"failover": run.bound.target.name}
        try:
            reservation = await self._pool.reserve(1)
            for model in models:
                (bound,) = self._pool.choose(
                    reservation,
                    [job],
                    tried,
                    model="" if model == job.model else model,
                    because=because,
                )
                if bound is not None and bound.target.id not in tried:
                    break
                bound = None
            await self._pool.bind(reservation, [job], [bound])
        except (RedisError, NotReady):
            return None
        return bound

    async def _hold(self, run: Running, error: CallError, put_off: float) -> None:
        """Give the job up until its next attempt is due; it keeps its fair tag."""
        run.ending = True
        delay = backoff_seconds(
            run.job.attempts,
            base_seconds=self._scheduling.retry_base_seconds,
            cap_seconds=self._scheduling.retry_cap_seconds,
            retry_after_seconds=max(error.retry_after_seconds, put_off),
            rng=self._rng,
        )
        held = await self._claims.retry(
            run.job,
            delay_seconds=delay,
            endpoint_id=run.bound.target.id,
            endpoint_name=run.bound.target.name,
            error_code=error.code,
            error_message=f"{error}{_put_off(put_off)}",
            public=error.public,
            first_token_at=run.first_token_at,
            why=run.bound.why,
            spent=self._charge(run, run.bound),
        )
        if not held:
            await self._cancelled(run)

    async def _stopped(self, run: Running) -> None:
        """The task was cancelled: by a client, a lost lease, or a worker shutting down."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        await self._release(run.side)
        if run.stop == CANCELLED:
            await self._cancelled(run)
        elif run.stop == LOST:
            log.warning("job.lease_lost", job=str(run.job.id))
        else:
            if run.spoke:
                self._outbox.put(run.feed, RESET, "{}")
            wrote = run.feed.keep and run.feed.seq > 0
            if not await self._claims.give_back([run.job], wrote=wrote):
                await self._cancelled(run)

    async def _cancelled(self, run: Running) -> None:
        """End the job as cancelled; where its lease is lost instead, nothing is stored."""
        await self._outcomes.end(
            run, Status.CANCELLED, "cancelled", "cancelled on request", "cancelled"
        )

    def _release_soon(self, run: Running) -> None:
        """Free the slot beside what follows; storing the answer need not wait for it."""
        task = asyncio.create_task(self._release(run.side))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self, side: Side) -> None:
        if not side.holds_slot:
            return
        side.holds_slot = False
        if side.binding is not None:
            await asyncio.shield(side.binding)
        # A ticket is fetched while the slot is being freed: the dispatcher waits for that.
        releasing = self._pool.release(side.ending())
        self._gate.freed()
        await releasing


def _put_off(seconds: float) -> str:
    return f" (the endpoint's retry budget is spent: {seconds:.1f} s later)" if seconds else ""
