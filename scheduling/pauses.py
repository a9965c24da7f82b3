"""What have operators paused, and how do they pause and resume it?

A pause is a row, so that it survives every process. Doors and workers read the rows every second
or two on timers that they have anyway; the control channel tells them sooner. A pause touches no
running job. A paused level's jobs stay queued, and no tickets of it are taken. A paused tenant's or
flow's jobs are held (reason `paused`) with their fair tags.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from scheduling.errors import NotPaused
from scheduling.models import Job, Pause, Priority, Status
from scheduling.statements import HOLD_PAUSED, RESUME_PAUSED
from scheduling.tickets.queue import publish_on_commit
from stores import control

Scope = Pause.Scope
HOLDING = (Scope.TENANT, Scope.FLOW)
PAUSES = "select scope, key, reason from scheduling_pause"


@dataclass(frozen=True, slots=True)
class Pauses:
    """The pauses in force as a process last read them: scope and key -> the reason given."""

    reasons: dict[tuple[str, str], str]

    @classmethod
    def of_rows(cls, rows: Iterable[Any]) -> Pauses:
        """Rows of `PAUSES`, or the array in the first column of `sql/watch.sql`."""
        return cls({(scope, key): reason for scope, key, reason in rows})

    @classmethod
    def of_json(cls, value: Any) -> Pauses:
        return cls.of_rows(json.loads(value) if isinstance(value, str) else value)

    @property
    def intake(self) -> bool:
        return (Scope.INTAKE.value, "") in self.reasons

    @property
    def levels(self) -> frozenset[str]:
        """The names of paused levels."""
        return frozenset(key for scope, key in self.reasons if scope == Scope.LEVEL)

    @property
    def holding(self) -> frozenset[tuple[str, str]]:
        """The pauses that hold jobs: of tenants and of flows."""
        return frozenset((scope, key) for scope, key in self.reasons if scope in HOLDING)

    def stops(self, level: Priority) -> bool:
        return level.queue in self.levels

    def reason(self, scope: str, key: str = "") -> str:
        return self.reasons.get((scope, key), "")

    def holds(self, *, tenant_id: UUID | None, flow_id: int) -> bool:
        """Whether new jobs of a tenant and flow are held."""
        theirs = {(Scope.TENANT.value, str(tenant_id)), (Scope.FLOW.value, str(flow_id))}
        return bool(self.holding & theirs)


NONE = Pauses({})


def in_force() -> Pauses:
    """The pauses now, by Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute(PAUSES)
        return Pauses.of_rows(cursor.fetchall())


def pause_intake(*, reason: str = "", operator: str = "") -> None:
    """Accept nothing new; both doors answer 503 with `Retry-After`."""
    pause(scope=Scope.INTAKE, reason=reason, operator=operator)


def resume_intake() -> None:
    resume(scope=Scope.INTAKE)


def pause_level(*, level: Priority, reason: str = "", operator: str = "") -> None:
    """Start nothing more of a level; its jobs stay queued and new ones join them."""
    pause(scope=Scope.LEVEL, key=level.queue, reason=reason, operator=operator)


def resume_level(*, level: Priority) -> None:
    resume(scope=Scope.LEVEL, key=level.queue)


def pause_tenant(*, tenant_id: UUID, reason: str = "", operator: str = "") -> int:
    """Hold a tenant's waiting and future jobs; how many were waiting to run."""
    return pause(scope=Scope.TENANT, key=str(tenant_id), reason=reason, operator=operator)


def resume_tenant(*, tenant_id: UUID) -> int:
    """Queue a tenant's held jobs in their old order; how many."""
    return resume(scope=Scope.TENANT, key=str(tenant_id))


def pause_flow(*, flow_id: int, reason: str = "", operator: str = "") -> int:
    """Hold a flow's waiting and future jobs; how many were waiting to run."""
    return pause(scope=Scope.FLOW, key=str(flow_id), reason=reason, operator=operator)


def resume_flow(*, flow_id: int) -> int:
    """Queue a flow's held jobs in their old order; how many."""
    return resume(scope=Scope.FLOW, key=str(flow_id))


def drain(*, reason: str = "", operator: str = "") -> None:
    """Accept nothing, start nothing: what runs finishes, what waits stays."""
    with transaction.atomic():
        pause_intake(reason=reason, operator=operator)
        for level in Priority:
            pause_level(level=level, reason=reason, operator=operator)


def running() -> int:
    """How many jobs a drain still waits for. Index job_leases."""
    return Job.objects.filter(status=Status.PROCESSING, lease_expires_at__isnull=False).count()


def resume_all() -> None:
    """End every pause."""
    with transaction.atomic():
        Pause.objects.all().delete()
        _queue_held()
        _notify()


def pause(*, scope: str, key: str = "", reason: str = "", operator: str = "") -> int:
    """Pause what a row would name; how many waiting jobs were held for it."""
    why = {"reason": reason[:200], "operator": operator[:150]}
    with transaction.atomic():
        Pause.objects.update_or_create(scope=Scope(scope), key=key, defaults=why)
        held = _hold_queued() if scope in HOLDING else 0
        _notify()
    return held


def resume(*, scope: str, key: str = "") -> int:
    """End one pause; how many held jobs were queued.

    Raises:
        NotPaused: there is no such pause.
    """
    with transaction.atomic():
        deleted, _ = Pause.objects.filter(scope=Scope(scope), key=key).delete()
        if not deleted:
            raise NotPaused(scope, key)
        queued = _queue_held() if scope in HOLDING else 0
        _notify()
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


def _notify() -> None:
    """Have doors and workers read the rows now."""
    transaction.on_commit(partial(control.tell, pauses="changed"))
