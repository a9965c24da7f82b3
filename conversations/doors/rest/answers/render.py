"""How does JSON show messages and conversations?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from conversations.dialogue import history
from conversations.doors.rest.protocol import ids, statuses
from conversations.models import Conversation, Message
from llmqueue_project.config import configuration
from scheduling.models import Attempt, Held, Job, Priority, Status
from scheduling.waiting import admission
from scheduling.waiting.admission import Admission
from scheduling.waiting.outlook import Outlook


def instant(value: datetime | None) -> str | None:
    return value.isoformat().replace("+00:00", "Z") if value else None


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round(max(0.0, (end - start).total_seconds()), 4) if start and end else None


def finite(value: float | None) -> float | None:
    """JSON has no other numbers, and only a row that cannot be read has one."""
    return None if value is None or not math.isfinite(value) else value


def readable(rows: QuerySet[Message]) -> QuerySet[Message]:
    """Messages with the rows that rendering needs: one query for a page, not one for each row."""
    return rows.select_related("user", "job")


def messages(rows: list[Message]) -> list[dict[str, Any]]:
    """A page of messages. Places in the queue are as the process last read them."""
    queued = any(_is_queued(row.job) for row in rows)
    known = admission.current() if queued else None
    return [message(row, outlook_of(row.job, known)) for row in rows]


def outlook_of(job: Job | None, known: Admission | None) -> Outlook | None:
    """Place and wait of a queued job; None if it does not wait or nothing is known."""
    if job is None or known is None or not _is_queued(job):
        return None
    return known.outlook(job.priority, job.model, job.fair_tag, job.pk)


def _is_queued(job: Job | None) -> bool:
    return job is not None and job.status == Status.QUEUED


def message(row: Message, outlook: Outlook | None = None) -> dict[str, Any]:
    """One message. Answers and system messages have no request: its fields are null."""
    return {
        "id": ids.shown(ids.MESSAGE, row.pk),
        "conversation_id": _conversation_id(row),
        "user_id": row.user.external_id,
        "role": row.role,
        "content": row.content,
        "reply_to": ids.shown(ids.MESSAGE, row.reply_to_id) if row.reply_to_id else None,
        "metadata": row.metadata,
        "analysis": row.analysis,
        "created_at": instant(row.created_at),
        "updated_at": instant(_updated_at(row)),
        **(_request(row.job, outlook) if row.job else _NO_REQUEST),
    }


def detail(row: Message) -> dict[str, Any]:
    """One message with its answer, and every attempt at it."""
    shown = messages([row])[0]
    shown["answer"] = history.answer_of(row)
    shown["attempts"] = [attempt(each) for each in _attempts(row)]
    return shown


def accepted(row: Message) -> dict[str, Any]:
    """A message of a batch that was just stored."""
    return {
        "id": ids.shown(ids.MESSAGE, row.pk),
        "conversation_id": _conversation_id(row),
        "user_id": row.user.external_id,
        "status": statuses.PENDING,
    }


def conversation(row: Conversation) -> dict[str, Any]:
    return {
        "id": ids.shown(ids.CONVERSATION, row.pk),
        "user_id": row.user.external_id,
        "title": row.title,
        "context": row.context,
        "model": row.model,
        "priority": level.label if (level := Priority.of_row(row.priority)) is not None else None,
        "state": row.state,
        "metadata": row.metadata,
        "message_count": row.message_count,
        "created_at": instant(row.created_at),
        "updated_at": instant(row.updated_at),
        "last_active_at": instant(row.last_active_at),
        "expires_at": instant(row.expires_at),
    }


def attempt(row: Attempt) -> dict[str, Any]:
    return {
        "number": row.number,
        "outcome": row.outcome,
        "endpoint": row.endpoint_name or (row.endpoint.name if row.endpoint else None),
        "started_at": instant(row.started_at),
        "ended_at": instant(row.ended_at),
        "seconds": seconds(row.started_at, row.ended_at),
        "error": _error(row.error_code, row.error_message),
    }


def _conversation_id(row: Message) -> str | None:
    return ids.shown(ids.CONVERSATION, row.conversation_id) if row.conversation_id else None


def _updated_at(row: Message) -> datetime:
    return max(row.updated_at, row.job.updated_at) if row.job else row.updated_at


def _request(job: Job, outlook: Outlook | None) -> dict[str, Any]:
    return {
        "status": statuses.shown(job.status),
        "held_reason": _held_reason(job, outlook),
        "cancel_requested": job.cancel_requested,
        "queue_name": job.priority.queue,
        "priority": job.priority.label,
        "priority_reason": job.priority_reason or None,
        "model": job.model,
        "retry_count": max(0, job.attempts - 1),
        "max_retries": max(0, job.max_attempts - 1),
        **_place(job, outlook),
        "scheduled_at": instant(job.due_at),
        "deadline_at": instant(job.deadline_at),
        "started_at": instant(job.started_at),
        "completed_at": instant(job.finished_at),
        "usage": _usage(job),
        "cost": _cost(job),
        "timings": _timings(job),
        "error": _error(job.error_code, job.error_message) if job.status in _UNHAPPY else None,
    }


def _held_reason(job: Job, outlook: Outlook | None) -> str | None:
    """Why it may not run yet: a retry waits for its time, and a level may be paused."""
    if job.held_reason == Held.DUE and job.attempts:
        return "backoff"
    if job.held_reason:
        return job.held_reason
    return str(Held.PAUSED) if outlook and outlook.is_paused else None


def _place(job: Job, outlook: Outlook | None) -> dict[str, Any]:
    """Position and wait: unknown while it is held, nothing once it runs."""
    if outlook is not None:
        return {"position": outlook.position, "estimated_wait": outlook.wait_seconds}
    if job.status in (Status.QUEUED, Status.HELD):
        return {"position": None, "estimated_wait": None}
    return {"position": 0, "estimated_wait": 0.0}


_UNHAPPY = (Status.FAILED, Status.TIMEOUT, Status.CANCELLED)
_NO_REQUEST: dict[str, Any] = dict.fromkeys(
    [
        "held_reason",
        "cancel_requested",
        "queue_name",
        "priority",
        "priority_reason",
        "model",
        "retry_count",
        "max_retries",
        "position",
        "estimated_wait",
        "scheduled_at",
        "deadline_at",
        "started_at",
        "completed_at",
        "usage",
        "cost",
        "timings",
        "error",
    ]
) | {"status": str(Status.COMPLETED)}


def _usage(job: Job) -> dict[str, int] | None:
    if job.prompt_tokens is None and job.completion_tokens is None:
        return None
    prompt, completion = job.prompt_tokens or 0, job.completion_tokens or 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _cost(job: Job) -> dict[str, Any] | None:
    """What all attempts cost; null before the first one has ended, and without prices."""
    if job.spent_micros is None:
        return None
    return {
        "amount": job.spent_micros / 1_000_000,
        "currency": configuration().currency,
        "estimated": job.spent_estimated,
    }


def _timings(job: Job) -> dict[str, float | None]:
    """Seconds in the queue, to the first token, in the latest attempt, and in all."""
    return {
        "queued": seconds(job.created_at, job.started_at or job.finished_at),
        "first_token": seconds(job.started_at, job.first_token_at),
        "processing": seconds(job.started_at, job.finished_at),
        "total": seconds(job.created_at, job.finished_at),
    }


def _error(code: str, text: str) -> dict[str, str] | None:
    return {"code": code, "message": text} if code or text else None


def _attempts(row: Message) -> Iterable[Attempt]:
    if row.job_id is None:
        return []
    return Attempt.objects.filter(job_id=row.job_id).select_related("endpoint").order_by("pk")
