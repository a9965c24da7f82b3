"""What has each level finished in the last hour, 6 hours, day or week?"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from threading import Lock
from typing import Any

from django.db import connection

from stores.memory import Aged, remembered

RANGES = {
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}

# Index job_finished. A week is read at most once in a minute and a half, an hour every half second.
_FINISHED = """
select l.level,
       count(*) filter (where j.status = 'completed') as processed,
       count(*) filter (where j.status in ('failed', 'timeout')) as failed,
       count(*) filter (where j.status = 'cancelled') as cancelled,
       coalesce(avg(extract(epoch from j.started_at - j.created_at)), 0)::float as average_wait,
       coalesce(max(extract(epoch from j.started_at - j.created_at)), 0)::float as max_wait,
       coalesce(avg(extract(epoch from j.finished_at - j.started_at)), 0)::float
           as average_processing,
       coalesce(sum(extract(epoch from j.finished_at - j.started_at)), 0)::float as busy_seconds
  from unnest(array[0, 1, 2, 3]) as l(level)
  left join scheduling_job j
    on j.level = l.level and j.finished_at >= now() - make_interval(secs => %s)
 group by l.level order by l.level
"""


class Throughput:
    """What a process remembers of it: the longer the span, the longer.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = Lock()
        self._rows = {
            name: Aged[list[dict[str, Any]]](span / timedelta(hours=2), clock=clock)
            for name, span in RANGES.items()
        }

    def finished(self, name: str) -> list[dict[str, Any]]:
        """One row a level for a span of `RANGES`; waits and times in seconds."""
        with self._lock:
            return self._rows[name].current(partial(_read, RANGES[name]))


def finished(name: str) -> list[dict[str, Any]]:
    """One row a level for a span of `RANGES`, remembered where the process keeps a memory."""
    return remembered(Throughput).finished(name)


def _read(span: timedelta) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(_FINISHED, [span.total_seconds()])
        names = [column.name for column in cursor.description or []]
        return [_rounded(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()
    }
