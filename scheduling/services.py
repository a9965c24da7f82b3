"""What can doors and operators do to jobs? Each change of status is one conditional UPDATE."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

import redis
from django.db import connection, transaction
from django.utils import timezone

from llmqueue_project.config import configuration
from scheduling import pauses
from scheduling.errors import IllegalTransition, JobNotFound
from scheduling.flow_ids import FlowIds
from scheduling.models import Flow, Held, Job, JobPayload, Priority, Status
from scheduling.outbox import drop_stream, post_ends
from scheduling.signals import is_announced, job_finished
from scheduling.specs import JobSpec, Receipt, parameters, receipts
from scheduling.statements import CANCEL, REPRIORITISE, REQUEUE, SUBMIT
from scheduling.tickets.queue import publish_on_commit
from stores import control
from stores.memory import remembered


def submit(spec: JobSpec) -> Receipt:
    """Store a job in the caller's transaction; its ticket is published after the commit."""
    return submit_many([spec])[0]


def submit_many(specs: Sequence[JobSpec]) -> list[Receipt]:
    """Store jobs in one statement, all or none; their receipts in the same order."""
    if not specs:
        return []
    with connection.cursor() as cursor:
        cursor.execute(SUBMIT, parameters(specs))
        stored = receipts(cursor.fetchall())
    levels = [spec.level for spec in specs if stored[spec.id].status == Status.QUEUED]
    publish_on_commit(levels)
    return [stored[spec.id] for spec in specs]


def flow_for(*, key: str, name: str, weight: float = 1.0) -> int:
    """The id of a flow; the row is made, or takes the caller's name and weight."""
    ids = remembered(FlowIds)
    known = ids.get(key, name, weight)
    if known is not None:
        return known
    flow, _ = Flow.objects.update_or_create(key=key, defaults={"name": name, "weight": weight})
    if not connection.in_atomic_block:
        # Inside a transaction the row may yet be rolled back.
        ids.remember(key, name, weight, flow.pk)
    return int(flow.pk)


def cancel(*, job_id: UUID) -> Status:
    """End a waiting job now, or ask a running one to end; the status afterwards.

    Raises:
        JobNotFound: there is no such job.
        IllegalTransition: it has ended already.
    """
    found = cancel_many(job_ids=[job_id])
    if job_id not in found:
        raise _refusal(job_id, Status.CANCELLED)
    return found[job_id]


def cancel_many(*, job_ids: Sequence[UUID]) -> dict[UUID, Status]:
    """As `cancel`, in one statement; by id the statuses of those that had not ended already."""
    found = _cancelled(job_ids)
    ended = [job_id for job_id, status in found.items() if status == Status.CANCELLED]
    transaction.on_commit(partial(_announce_ends, ended))
    for job_id in found.keys() - set(ended):
        transaction.on_commit(partial(control.tell, cancel=str(job_id)))
    return found


def withdraw(*, job_ids: Sequence[UUID]) -> bool:
    """End waiting jobs that the caller's transaction deletes, with all that would hear of them.

    Those who follow them are told, but `job_finished` is not sent.

    Returns:
        Whether all of them waited. If not, the caller rolls back.
    """
    found = _cancelled(job_ids)
    if any(status != Status.CANCELLED for status in found.values()):
        return False
    ended = list(Job.objects.filter(pk__in=found))
    transaction.on_commit(lambda: post_ends(_valkey(), ended))
    return True


def _cancelled(job_ids: Sequence[UUID]) -> dict[UUID, Status]:
    with connection.cursor() as cursor:
        cursor.execute(CANCEL, {"ids": list(job_ids), "why": "cancelled while waiting"})
        return {job_id: Status(status) for job_id, status in cursor.fetchall()}


def requeue(*, job_id: UUID) -> Status:
    """Give an ended job without an answer a fresh set of attempts; the status afterwards.

    Raises:
        JobNotFound: there is no such job.
        IllegalTransition: it waits, runs or was answered.
    """
    with connection.cursor() as cursor:
        allowed = configuration().scheduling.max_attempts
        cursor.execute(REQUEUE, {"id": job_id, "max_attempts": allowed})
        row = cursor.fetchone()
    if row is None:
        raise _refusal(job_id, Status.QUEUED)
    status, level = Status(row[0]), row[1]
    transaction.on_commit(partial(drop_stream, _valkey(), job_id))
    if status == Status.QUEUED:
        publish_on_commit([level])
    return status


def reprioritise(*, job_id: UUID, level: Priority) -> None:
    """Move a waiting job to another level, behind the jobs that its flow has waiting there.

    Raises:
        JobNotFound: there is no such job.
        IllegalTransition: it no longer waits.
    """
    with connection.cursor() as cursor:
        cursor.execute(REPRIORITISE, {"id": job_id, "level": int(level)})
        row = cursor.fetchone()
    if row is None:
        raise _refusal(job_id, Status.QUEUED)
    if row[0] == Status.QUEUED:
        publish_on_commit([level])


def next_held_turn(*, sequence_key: UUID) -> UUID | None:
    """The next job of a sequence that is held for its turn; None while another is in flight."""
    waiting = Job.objects.filter(sequence_key=sequence_key)
    if waiting.filter(status__in=[Status.QUEUED, Status.PROCESSING]).exists():
        return None
    if waiting.filter(status=Status.HELD, held_reason__in=[Held.PAUSED, Held.BACKLOG]).exists():
        return None
    held = waiting.filter(status=Status.HELD, held_reason=Held.TURN).order_by("created_at", "id")
    return held.values_list("id", flat=True).first()


def release_turn(*, job_id: UUID, body: str) -> bool:
    """Queue a job that is held for its turn, with the body of that turn.

    While its tenant or flow is paused, the job is held for the pause instead.

    Returns:
        Whether the job was held for its turn.
    """
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(pk=job_id).first()
        if job is None or (job.status, job.held_reason) != (Status.HELD, Held.TURN):
            return False
        JobPayload.objects.filter(pk=job_id).update(body=body)
        paused = pauses.in_force().holds(tenant_id=job.tenant_id, flow_id=job.flow_id)
        Job.objects.filter(pk=job_id).update(
            status=Status.HELD if paused else Status.QUEUED,
            held_reason=Held.PAUSED if paused else "",
            updated_at=timezone.now(),
        )
        if not paused:
            publish_on_commit([job.level])
    return True


def _announce_ends(job_ids: Sequence[UUID]) -> None:
    """Tell of jobs that ended while they waited: no worker does."""
    jobs = list(Job.objects.filter(pk__in=job_ids))
    post_ends(_valkey(), jobs)
    for job in jobs:
        if is_announced(job.source):
            job_finished.send_robust(
                sender=Job,
                job_id=job.id,
                source=job.source,
                status=Status(job.status),
                sequence_key=job.sequence_key,
            )


def _refusal(job_id: UUID, wanted: Status) -> Exception:
    status = Job.objects.filter(pk=job_id).values_list("status", flat=True).first()
    if status is None:
        return JobNotFound(f"no job {job_id}")
    return IllegalTransition(status, wanted.value)


def _valkey() -> redis.Redis:
    return control.client()
