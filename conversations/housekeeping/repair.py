"""What a crash between a job's end and its news left undone; housekeeping looks every minute."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from conversations.dialogue import services

logger = logging.getLogger(__name__)

# Index job_finished bounds the scan to jobs that ended lately. The last seconds are left to the
# receiver, which is on its way.
_UNRECORDED = """
select j.id
  from scheduling_job j
  join conversations_message m on m.job_id = j.id
  left join conversations_message r on r.reply_to_id = m.id
 where j.finished_at between %(since)s and %(until)s
   and j.status = 'completed' and j.source = 'message' and r.id is null
 order by j.finished_at
 limit %(limit)s
"""

# Index job_sequence has the rows in flight and nothing else.
_WITHOUT_PREDECESSOR = """
select distinct held.sequence_key
  from scheduling_job held
 where held.status = 'held' and held.held_reason = 'turn' and held.sequence_key is not null
   and not exists (select 1 from scheduling_job j
                    where j.sequence_key = held.sequence_key
                      and (j.status in ('queued', 'processing')
                           or j.status = 'held' and j.held_reason = 'paused'))
 limit %(limit)s
"""

GRACE = timedelta(seconds=5)


def repair(*, since: timedelta = timedelta(hours=1), limit: int = 1000) -> int:
    """Record answers and release turns that were missed; how many were."""
    now = timezone.now()
    unrecorded = _ids(_UNRECORDED, since=now - since, until=now - GRACE, limit=limit)
    for job_id in unrecorded:
        services.settle(job_id=job_id)
    stuck = _ids(_WITHOUT_PREDECESSOR, limit=limit)
    released = sum(services.advance(conversation_id=key) for key in stuck)
    if unrecorded or released:
        logger.warning("repaired %d answers and %d turns", len(unrecorded), released)
    return len(unrecorded) + released


def _ids(statement: str, **parameters: Any) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return [row[0] for row in cursor.fetchall()]
