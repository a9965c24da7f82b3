"""What did a crash between a job's end and its signal leave undone? Asked every minute."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from conversations.dialogue import services
from conversations.models import Message
from scheduling import job_state
from scheduling.models import Source, Status

logger = logging.getLogger(__name__)

# Jobs that ended in the last seconds are left to the receiver of the signal.
GRACE = timedelta(seconds=5)


def repair(*, since: timedelta = timedelta(hours=1), limit: int = 1000) -> int:
    """Record answers and release turns that were missed; returns how many."""
    now = timezone.now()
    unrecorded = _unrecorded(now - since, now - GRACE, limit)
    for job_id in unrecorded:
        services.finish_turn(job_id=job_id)
    stuck = job_state.stuck_sequences(limit=limit)
    released = sum(services.advance(conversation_id=key) for key in stuck)
    if unrecorded or released:
        logger.warning("repaired %d answers and %d turns", len(unrecorded), released)
    return len(unrecorded) + released


def _unrecorded(since: datetime, until: datetime, limit: int) -> list[UUID]:
    """Answered jobs of messages without a recorded answer, the oldest first.

    Index job_finished bounds the scan to jobs that ended lately.
    """
    questions = Message.objects.filter(
        job__finished_at__range=(since, until),
        job__status=Status.COMPLETED,
        job__source=Source.MESSAGE,
        reply__isnull=True,
    )
    ids = questions.order_by("job__finished_at").values_list("job__id", flat=True)
    return list(ids[:limit])
