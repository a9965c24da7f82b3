"""Pausing and resuming: intake, a level, a tenant, a flow. Verbs of operators.

A pause is a row, so that it survives every process. Doors and workers read the rows every second
or two on timers they have anyway; the control channel tells them sooner. Nothing that runs is
touched. What waits stays in PostgreSQL: a paused level's rows stay queued and its tickets are not
taken; a paused tenant's or flow's rows are held(paused) with their fair tags.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import connection, transaction

from scheduling.errors import NotPaused
from scheduling.models import Job, Pause, Priority, Status
from scheduling.pauses import PAUSES, Pauses
from scheduling.statements import HOLD_PAUSED, RESUME_PAUSED
from scheduling.tickets.queue import publish_on_commit
from stores import control

Kind = Pause.Kind


def pause_intake(*, reason: str = "", operator: str = "") -> None:
    """Accept nothing new; both doors answer 503 with `Retry-After`."""
    _pause(Kind.INTAKE, "", reason, operator)


def resume_intake() -> None:
    _resume(Kind.INTAKE, "")


def pause_level(*, level: Priority, reason: str = "", operator: str = "") -> None:
    """Start nothing more of a level; its jobs stay queued and new ones join them."""
    _pause(Kind.LEVEL, level.queue, reason, operator)


def resume_level(*, level: Priority) -> None:
    _resume(Kind.LEVEL, level.queue)


def pause_tenant(*, tenant_id: UUID, reason: str = "", operator: str = "") -> int:
    """Hold a tenant's waiting and future jobs; how many were waiting to run."""
    return _pause(Kind.TENANT, str(tenant_id), reason, operator)


def resume_tenant(*, tenant_id: UUID) -> int:
    """Queue a tenant's held jobs in their old order; how many."""
    return _resume(Kind.TENANT, str(tenant_id))


def pause_flow(*, flow_id: int, reason: str = "", operator: str = "") -> int:
    """Hold a flow's waiting and future jobs; how many were waiting to run."""
    return _pause(Kind.FLOW, str(flow_id), reason, operator)


def resume_flow(*, flow_id: int) -> int:
    """Queue a flow's held jobs in their old order; how many."""
    return _resume(Kind.FLOW, str(flow_id))


def drain(*, reason: str = "", operator: str = "") -> None:
    """Accept nothing, start nothing: what runs finishes, what waits stays."""
    with transaction.atomic():
        pause_intake(reason=reason, operator=operator)
        for level in Priority:
            pause_level(level=level, reason=reason, operator=operator)


def resume_all() -> None:
    """End every pause."""
    with transaction.atomic():
        Pause.objects.all().delete()
        _queue_held()
        _tell()


def pause(*, kind: str, key: str = "", reason: str = "", operator: str = "") -> int:
    """Pause what a row would name; how many waiting jobs were held for it."""
    return _pause(Kind(kind), key, reason, operator)


def resume(*, kind: str, key: str = "") -> int:
    """End one pause; how many held jobs were queued.

    Raises:
        NotPaused: there is no such pause.
    """
    return _resume(Kind(kind), key)


def in_force() -> Pauses:
    """The pauses, by Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute(PAUSES)
        return Pauses.of_rows(cursor.fetchall())


def holds(*, tenant_id: UUID | None, flow_id: int) -> bool:
    """Whether jobs of this tenant and flow are to be held now."""
    return in_force().holds(tenant_id=tenant_id, flow_id=flow_id)


def running() -> int:
    """How many jobs run now. Index job_leases."""
    return Job.objects.filter(status=Status.PROCESSING, lease_expires_at__isnull=False).count()


def _pause(kind: Kind, key: str, reason: str, operator: str) -> int:
    with transaction.atomic():
        Pause.objects.update_or_create(
            kind=kind, key=key, defaults={"reason": reason[:200], "operator": operator[:150]}
        )
        held = _hold_queued() if kind in (Kind.TENANT, Kind.FLOW) else 0
        _tell()
    return held


def _resume(kind: Kind, key: str) -> int:
    with transaction.atomic():
        deleted, _ = Pause.objects.filter(kind=kind, key=key).delete()
        if not deleted:
            raise NotPaused(kind, key)
        queued = _queue_held() if kind in (Kind.TENANT, Kind.FLOW) else 0
        _tell()
    return queued


def _hold_queued() -> int:
    with connection.cursor() as cursor:
        cursor.execute(HOLD_PAUSED)
        return len(cursor.fetchall())


def _queue_held() -> int:
    with connection.cursor() as cursor:
        cursor.execute(RESUME_PAUSED)
        levels = [row[1] for row in cursor.fetchall()]
    publish_on_commit(levels)
    return len(levels)


def _tell() -> None:
    transaction.on_commit(partial(control.tell, pauses="changed"))
