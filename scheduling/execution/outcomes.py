"""How a job ends: its one outcome stored, then told to the app above and to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from balancing.calls.answer import Answer
from balancing.errors import Busy, CallError, Refused
from scheduling import metrics, spending
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.endings import Finish
from scheduling.dispatch.large_results import is_large
from scheduling.execution.contracts import Announces, Entries, Leases
from scheduling.execution.run import Run
from scheduling.models import Attempt, Status
from scheduling.outbox import FINAL
from scheduling.signals import is_announced
from scheduling.specs import actual_cost
from scheduling.spending import Spent

log = structlog.get_logger(__name__)
# What clients of OpenAI know a rate limit by, and the wait where no endpoint says how long.
BUSY_CODE = "rate_limit_exceeded"
BUSY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class End:
    """The end of a job that was not answered.

    Attributes:
        outcome: of its last attempt.
        message: for the client.
        error: the call that failed, where one did.
        retry_after_seconds: when a busy endpoint may be asked again.
    """

    status: Status
    outcome: Attempt.Outcome
    code: str
    message: str
    error: CallError | None = None
    retry_after_seconds: float = 0.0

    @classmethod
    def failed(cls, error: CallError, *, retry_after_seconds: float = 0.0) -> End:
        wait = retry_after_seconds or error.retry_after_seconds
        return cls(Status.FAILED, Attempt.Outcome.ERROR, error.code, error.public, error, wait)


CANCELLED = End(Status.CANCELLED, Attempt.Outcome.CANCELLED, "cancelled", "cancelled on request")
OUT_OF_TIME = End(Status.TIMEOUT, Attempt.Outcome.TIMEOUT, "timeout", "the request's time was up")
BROKEN_OFF = End(
    Status.FAILED,
    Attempt.Outcome.CANCELLED,
    "attempt_lost",
    "the worker was stopped in the middle of the answer",
)
CRASHED = End(Status.FAILED, Attempt.Outcome.ERROR, "internal_error", "the worker failed")


class Outcomes:
    """Stores and tells the ends of one worker's jobs."""

    def __init__(self, *, claims: Leases, outbox: Entries, announcer: Announces) -> None:
        self._claims = claims
        self._outbox = outbox
        self._announcer = announcer

    async def complete(self, run: Run, answer: Answer) -> None:
        """Store an answer; nothing is told where the lease was lost."""
        run.ending = True
        job = run.job
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        spent = spending.of_answer(
            run.call.target, run.placement.model or job.model, job.body, answer
        )
        finish = Finish(
            **_columns(run, spent),
            status=Status.COMPLETED,
            outcome=Attempt.Outcome.OK,
            prompt_tokens=prompt,
            completion_tokens=completion,
            actual_cost=actual_cost(spent.prompt_tokens, spent.completion_tokens),
            first_token_at=run.first_token_at or (job.now if answer.first_token_at else None),
            result=answer.body,
            text=answer.text,
        )
        if await self._claims.finish(finish):
            _count_completed(run, finish, spent)
            # A large answer does not travel through Valkey: whoever waits reads the stored one.
            by_reference = job.stream or is_large(finish)
            await self._tell(run, Status.COMPLETED, {"body": None if by_reference else answer.body})

    async def end(self, run: Run, end: End) -> None:
        """Store an end without an answer; nothing is told where the lease was lost."""
        run.ending = True
        job, target, details = run.job, run.call.target, _details(end)
        spent = spending.of_failure(target, run.placement.model or job.model, job.body, run.pieces)
        finish = Finish(
            **_columns(run, spent),
            status=end.status,
            outcome=end.outcome,
            error_code=end.code[:40],
            error_message=end.message,
            error_status=details["http_status"],
            detail=str(end.error) if end.error else "",
            first_token_at=run.first_token_at,
        )
        if await self._claims.finish(finish):
            if end.status == Status.FAILED:
                _log_dead_letter(job, end.code)
            metrics.count_spent(job.model, target.name, spent)
            await self._tell(run, end.status, details)

    async def _tell(self, run: Run, status: Status, details: dict[str, Any]) -> None:
        """The end is stored: tell the app above, then whoever listens."""
        job = run.job
        metrics.jobs.labels(run.level, status.value).inc()
        if is_announced(job.source):
            await self._announcer.announce(job, status)
        summary = {
            "status": status.value,
            "queue_ms": round(run.waited_seconds * 1000),
            "endpoint": run.call.target.name,
            **({"model": run.placement.model} if run.placement.model else {}),
            **details,
        }
        self._outbox.put(run.stream, FINAL, orjson.dumps(summary).decode())


def _details(end: End) -> dict[str, Any]:
    """What the client is told of an end without an answer."""
    details: dict[str, Any] = {
        "code": end.code,
        "message": end.message,
        "http_status": 0,
        "upstream": "",
    }
    if isinstance(end.error, Refused):
        details |= {"http_status": end.error.status, "upstream": end.error.body}
    elif isinstance(end.error, Busy):
        seconds = end.retry_after_seconds or BUSY_SECONDS
        details |= {"http_status": 429, "code": BUSY_CODE, "retry_after_seconds": seconds}
    elif end.error is not None and not (end.error.retryable and end.error.repeatable):
        details["is_final"] = True
    return details


def _log_dead_letter(job: Claimed, code: str) -> None:
    log.warning(
        "job.failed",
        job=str(job.id),
        request_id=job.request_id,
        code=code,
        attempts=job.attempts,
    )


def _columns(run: Run, spent: Spent) -> dict[str, Any]:
    """The columns that every end of a job has."""
    return {
        "id": run.job.id,
        "lease_token": run.job.lease_token,
        "number": run.job.attempts,
        "endpoint_id": run.call.target.id,
        "endpoint_name": run.call.target.name,
        "why": run.placement.why,
        "spent_prompt": spent.prompt_tokens,
        "spent_completion": spent.completion_tokens,
        "spent_micros": spent.micros,
        "spent_estimated": spent.estimated,
    }


def _count_completed(run: Run, finish: Finish, spent: Spent) -> None:
    if finish.first_token_at is not None:
        waited = (finish.first_token_at - run.job.created_at).total_seconds()
        metrics.first_token_seconds.labels(run.level).observe(max(0.0, waited))
    metrics.tokens.labels("input").inc(finish.prompt_tokens or 0)
    metrics.tokens.labels("output").inc(finish.completion_tokens or 0)
    metrics.count_spent(run.job.model, finish.endpoint_name, spent)
