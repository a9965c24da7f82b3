"""One job from claim to end: call, deltas, retry on another endpoint, the one stored result."""

from __future__ import annotations

import asyncio
import random
import time
from uuid import UUID

import psycopg
import structlog

from balancing.errors import Busy, CallError
from llmqueue_project.config import configuration
from scheduling import metrics
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.endings import FailedAttempt
from scheduling.dispatch.slot import Placement, Slot
from scheduling.execution.call import EndpointCall, start_of
from scheduling.execution.contracts import Caller, Endpoints, Entries, Leases
from scheduling.execution.hedging import Hedger
from scheduling.execution.outcomes import (
    BROKEN_OFF,
    CANCELLED,
    CRASHED,
    OUT_OF_TIME,
    End,
    Outcomes,
)
from scheduling.execution.retry_accounts import RetryAccounts
from scheduling.execution.run import Run, Stop
from scheduling.outbox import RESET, STARTED, JobStream
from scheduling.policies.retry import backoff_seconds
from scheduling.spending import of_failure

log = structlog.get_logger(__name__)
# A call that begins with less time than this left of its deadline is not worth waiting for.
LEAST_LEFT_SECONDS = 1.0


class Runner:
    """Runs jobs; `running` is what this process is doing now."""

    def __init__(
        self,
        *,
        claims: Leases,
        pool: Endpoints,
        client: Caller,
        outbox: Entries,
        outcomes: Outcomes,
    ) -> None:
        self._claims = claims
        self._pool = pool
        self._outbox = outbox
        self._outcomes = outcomes
        self._scheduling = configuration().scheduling
        self._budgets = RetryAccounts()
        self._hedger = Hedger(claims=claims, pool=pool, client=client, outbox=outbox)
        self._rng = random.Random()  # noqa: S311 - jitter, not secrets
        self._releasing: set[asyncio.Task[None]] = set()
        self.running: dict[UUID, Run] = {}

    async def run(self, job: Claimed, slot: Slot) -> None:
        """Take a leased job with a slot to its end."""
        call = EndpointCall(slot, streamed=job.stream)
        run = Run(job, call, JobStream.of(job, job.attempts))
        run.task = asyncio.current_task()
        self.running[job.id] = run
        metrics.wait_seconds.labels(run.level).observe(run.waited_seconds)
        if job.attempts <= 1:
            self._budgets.called(slot.target.id)
        try:
            await self._attempts(run)
        except asyncio.CancelledError:
            await self._stopped(run)
        except psycopg.OperationalError as error:
            # The lease runs out and the sweep of whoever is left takes over.
            log.warning("job.left_to_its_lease", job=str(job.id), error=str(error))
        except Exception:
            log.exception("job.crashed", job=str(job.id))
            await self._outcomes.end(run, CRASHED)
        finally:
            self.running.pop(job.id, None)
            await run.call.release()

    def stop(self, job_id: UUID, reason: Stop) -> None:
        """End a running job; the reason decides what becomes of it."""
        run = self.running.get(job_id)
        if run is not None and run.stop is None and not run.ending and run.task is not None:
            run.stop = reason
            run.task.cancel()

    async def _attempts(self, run: Run) -> None:
        while True:
            if run.stream.keep:
                self._outbox.put(run.stream, STARTED, start_of(run.job, run.placement))
            try:
                answer = await self._hedger.call(run)
            except CallError as error:
                self._note_failure(run, error)
                await run.call.release()
                if not await self._again(run, error):
                    return
            else:
                self._pool.spent(run.call.slot.lease, answer.tokens)
                self._release_soon(run.call)
                self._pool.mark_well(run.call.target)
                self._pool.charge(run.doubted - {run.call.target.id})
                metrics.attempts.labels(run.call.target.name, "ok").inc()
                await self._outcomes.complete(run, answer)
                return

    def _note_failure(self, run: Run, error: CallError) -> None:
        target, job = run.call.target, run.job
        metrics.attempts.labels(target.name, error.code).inc()
        if not run.is_over(error):
            run.call.failed(error)
            if error.may_be_the_requests:
                run.doubted.add(target.id)
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

    async def _again(self, run: Run, error: CallError) -> bool:
        """Whether a further attempt began; otherwise the job was held or has ended."""
        if run.is_over(error):
            end = End.failed(error) if isinstance(error, Busy) else OUT_OF_TIME
            await self._outcomes.end(run, end)
            return False
        run.count(error)
        if not self._may_retry(run, error):
            await self._outcomes.end(run, End.failed(error))
            return False
        if run.spoke:
            self._outbox.put(run.stream, RESET, "{}")
        put_off = self._budgets.put_off(run.call.target.id, run.call.target.name)
        if not put_off and await self._fail_over(run, error):
            return True
        if not error.repeatable and not self._others(run):
            await self._outcomes.end(run, End.failed(error))
            return False
        wait = self._told_wait(run)
        if isinstance(error, Busy) and wait + LEAST_LEFT_SECONDS >= run.seconds_left:
            await self._outcomes.end(run, End.failed(error, retry_after_seconds=wait))
            return False
        await self._hold(run, error, wait, put_off)
        return False

    def _may_retry(self, run: Run, error: CallError) -> bool:
        is_over = run.job.attempts >= run.job.max_attempts
        return error.retryable and not run.is_told and not is_over

    def _told_wait(self, run: Run) -> float:
        """Seconds until the first endpoint takes the job; 0 where one has asked for no wait."""
        told = frozenset(run.told)
        if any(self._pool.others_serving(m, told, run.job.api) for m in self._models(run.job)):
            return 0.0
        return max(0.0, min(run.told.values(), default=0.0) - time.monotonic())

    def _models(self, job: Claimed) -> list[str]:
        """The models by which a job may be served."""
        fallbacks = self._pool.rules(job.model).fallback_models if job.allow_fallback else ()
        return [job.model, *fallbacks]

    async def _fail_over(self, run: Run, error: CallError) -> bool:
        """Move to another endpoint at once, when one has room, under the same lease."""
        slot = await self._elsewhere(run)
        if slot is None:
            return False
        failed = self._failed(run, run.placement, error)
        run.call = EndpointCall(slot, streamed=run.job.stream)
        if not await self._claims.retry(run.job, failed, delay_seconds=0):
            run.stop = Stop.CANCELLED
            raise asyncio.CancelledError
        run.begin_attempt()
        return True

    async def _elsewhere(self, run: Run) -> Slot | None:
        """A slot at an endpoint that has not failed this job: of its model, else of a fallback."""
        job, models = run.job, self._others(run)
        if not models:
            return None
        because = {"failover": run.call.target.name}
        return await self._pool.take_slot(job, models, frozenset(run.tried), because)

    def _others(self, run: Run) -> list[str]:
        """The models of the job, fallbacks included, that an endpoint serves which did not fail."""
        job, tried = run.job, frozenset(run.tried)
        return [m for m in self._models(job) if self._pool.others_serving(m, tried, job.api)]

    async def _hold(self, run: Run, error: CallError, wait: float, put_off: float) -> None:
        """Give the job up until its next attempt is due; it keeps its fair tag.

        Args:
            wait: how long the endpoints ask to be left alone.
            put_off: how long the retry budget puts it off.
        """
        run.ending = True
        delay = backoff_seconds(
            run.job.attempts,
            base_seconds=self._scheduling.retry_base_seconds,
            cap_seconds=self._scheduling.retry_cap_seconds,
            retry_after_seconds=max(wait, put_off),
            rng=self._rng,
        )
        if isinstance(error, Busy):
            # The jitter does not take what is left of the deadline.
            delay = min(delay, max(wait, run.seconds_left - LEAST_LEFT_SECONDS))
        failed = self._failed(run, run.placement, error, note=_put_off(put_off))
        if not await self._claims.retry(run.job, failed, delay_seconds=delay):
            await self._cancelled(run)

    def _failed(
        self, run: Run, placement: Placement, error: CallError, note: str = ""
    ) -> FailedAttempt:
        """The record of an attempt that failed, with what it cost."""
        job, target = run.job, placement.target
        spent = of_failure(target, placement.model or job.model, job.body, run.pieces)
        metrics.count_spent(job.model, target.name, spent)
        return FailedAttempt(
            endpoint_id=target.id,
            endpoint_name=target.name,
            error_code=error.code,
            error_message=f"{error}{note}",
            public=error.public,
            uses_attempt=not run.is_free(error),
            first_token_at=run.first_token_at,
            why=placement.why,
            spent=spent,
        )

    async def _stopped(self, run: Run) -> None:
        """The task was cancelled: by a client, a lost lease, or a worker shutting down."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        await run.call.release()
        if run.stop == Stop.CANCELLED:
            await self._cancelled(run)
        elif run.stop == Stop.LOST:
            log.warning("job.lease_lost", job=str(run.job.id))
        else:
            await self._given_back(run)

    async def _given_back(self, run: Run) -> None:
        if run.is_told:
            await self._outcomes.end(run, BROKEN_OFF)
            return
        if run.spoke:
            self._outbox.put(run.stream, RESET, "{}")
        wrote = run.stream.keep and run.stream.seq > 0
        if not await self._claims.give_back([run.job], wrote=wrote):
            await self._cancelled(run)

    async def _cancelled(self, run: Run) -> None:
        """End the job as cancelled; where its lease is lost instead, nothing is stored."""
        await self._outcomes.end(run, CANCELLED)

    def _release_soon(self, call: EndpointCall) -> None:
        """Free the slot beside what follows; storing the answer need not wait for it."""
        task = asyncio.create_task(call.release())
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)


def _put_off(seconds: float) -> str:
    return f" (the endpoint's retry budget is spent: {seconds:.1f} s later)" if seconds else ""
