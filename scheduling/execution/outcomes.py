"""How a job ends: its one outcome stored, then told to the app above and to whoever listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from balancing.calls.answer import Answer
from balancing.errors import CallError, Refused
from scheduling import metrics, spending
from scheduling.dispatch.claims import Claimed, Claims, Finish
from scheduling.execution.run import Running
from scheduling.models import Attempt, Status
from scheduling.outbox import FINAL, Outbox
from scheduling.signals import is_announced
from scheduling.specs import actual_cost
from scheduling.spending import Spent

# Tells the app above that a job has ended; returns when it has been told.
Announce = Callable[[Claimed, Status], Awaitable[None]]


class Outcomes:
    def __init__(self, *, claims: Claims, outbox: Outbox, announce: Announce) -> None:
        self._claims = claims
        self._outbox = outbox
        self._announce = announce

    async def complete(self, run: Running, answer: Answer) -> None:
        run.ending = True
        job = run.job
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        target = run.bound.target
        spent = spending.of_answer(target, run.bound.model or job.model, job.body, answer)
        finish = Finish(
            id=job.id,
            lease_token=job.lease_token,
            status=Status.COMPLETED,
            number=job.attempts,
            outcome=Attempt.Outcome.OK,
            endpoint_id=target.id,
            endpoint_name=target.name,
            prompt_tokens=prompt,
            completion_tokens=completion,
            actual_cost=actual_cost(prompt or 0, completion or 0) if prompt is not None else None,
            first_token_at=answer.first_token_at or run.first_token_at,
            result=answer.body,
            text=answer.text,
            why=run.bound.why,
            **_columns(spent),
        )
        if await self._claims.finish(finish):
            if finish.first_token_at is not None:
                waited = (finish.first_token_at - job.created_at).total_seconds()
                metrics.first_token_seconds.labels(run.level).observe(max(0.0, waited))
            metrics.tokens.labels("input").inc(prompt or 0)
            metrics.tokens.labels("output").inc(completion or 0)
            metrics.count_spent(job.model, target.name, spent)
            await self._tell(run, Status.COMPLETED, {"body": None if job.stream else answer.body})

    async def end(
        self,
        run: Running,
        status: Status,
        code: str,
        message: str,
        outcome: str,
        error: CallError | None = None,
    ) -> None:
        run.ending = True
        job, target = run.job, run.bound.target
        spent = spending.of_failure(target, run.bound.model or job.model, job.body, run.pieces)
        finish = Finish(
            id=job.id,
            lease_token=job.lease_token,
            status=status,
            number=job.attempts,
            outcome=outcome,
            endpoint_id=target.id,
            endpoint_name=target.name,
            error_code=code[:40],
            error_message=message,
            detail=str(error) if error else "",
            first_token_at=run.first_token_at,
            why=run.bound.why,
            **_columns(spent),
        )
        if await self._claims.finish(finish):
            metrics.count_spent(job.model, target.name, spent)
            refused = isinstance(error, Refused)
            details = {
                "code": code,
                "message": message,
                "http_status": error.status if error and refused else 0,
                "upstream": error.body if error and refused else "",
            }
            await self._tell(run, status, details)

    async def _tell(self, run: Running, status: Status, details: dict[str, Any]) -> None:
        """The end is stored: tell the app above, then whoever listens."""
        job = run.job
        metrics.jobs.labels(run.level, status.value).inc()
        if is_announced(job.source):
            await self._announce(job, status)
        summary = {
            "status": status.value,
            "queue_ms": round(run.waited_seconds * 1000),
            "endpoint": run.bound.target.name,
            **({"model": run.bound.model} if run.bound.model else {}),
            **details,
        }
        self._outbox.put(run.feed, FINAL, orjson.dumps(summary).decode())


def _columns(spent: Spent) -> dict[str, Any]:
    return {
        "spent_prompt": spent.prompt_tokens,
        "spent_completion": spent.completion_tokens,
        "spent_micros": spent.micros,
        "spent_estimated": spent.estimated,
    }
