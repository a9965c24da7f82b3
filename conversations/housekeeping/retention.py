"""Which dead letters are removed? Those that nobody has queued again in time."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from llmqueue_project.config import configuration
from scheduling.models import Job, Status

BATCH = 500


def purge_dead_letters() -> int:
    """Remove dead letters older than `scheduling.dead_letter_days`; returns how many.

    A failed message of a conversation is part of its history, and stays until it is removed. Index
    job_dead_letters.
    """
    days = configuration().scheduling.dead_letter_days
    if not days:
        return 0
    before = timezone.now() - timedelta(days=days)
    old = Job.objects.filter(status=Status.FAILED, finished_at__lt=before, message__isnull=True)
    removed = 0
    while chosen := list(old.order_by("finished_at").values_list("pk", flat=True)[:BATCH]):
        # The status is checked again: one of them may have been queued meanwhile.
        removed += (
            Job.objects.filter(pk__in=chosen, status=Status.FAILED)
            .delete()[1]
            .get("scheduling.Job", 0)
        )
        if len(chosen) < BATCH:
            break
    return removed
