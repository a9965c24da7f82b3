"""What each level finished, and how long a process remembers it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from scheduling.models import Flow, Job, Priority, Status
from scheduling.reports import throughput
from scheduling.reports.throughput import Throughput
from stores.memory import Memory, kept

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ended(status: Status, hours_ago: float = 0.1) -> None:
    """A job that waited two seconds and ran for four."""
    flow, _ = Flow.objects.get_or_create(key="k", defaults={"name": "n"})
    at = timezone.now() - timedelta(hours=hours_ago)
    Job.objects.create(
        level=Priority.HIGH,
        status=status,
        model="m",
        flow_id=flow.pk,
        tenant_id=UUID(int=1),
        fair_tag=0,
        cost=1,
        max_attempts=3,
        created_at=at - timedelta(seconds=6),
        updated_at=at,
        started_at=at - timedelta(seconds=4),
        finished_at=at,
    )


def test_every_level_has_a_row() -> None:
    ended(Status.COMPLETED)
    ended(Status.TIMEOUT)
    ended(Status.CANCELLED)
    ended(Status.COMPLETED, hours_ago=2)

    rows = throughput.finished("1h")

    assert [row["level"] for row in rows] == [0, 1, 2, 3]
    high = rows[1]
    assert (high["processed"], high["failed"], high["cancelled"]) == (1, 1, 1)
    assert (high["average_wait"], high["max_wait"]) == (2.0, 2.0)
    assert (high["average_processing"], high["busy_seconds"]) == (4.0, 12.0)
    assert rows[0]["processed"] == 0
    assert throughput.finished("6h")[1]["processed"] == 2


def test_a_longer_span_is_remembered_longer() -> None:
    clock = Clock()
    known = Throughput(clock)
    assert (known.finished("1h")[1]["processed"], known.finished("24h")[1]["processed"]) == (0, 0)
    ended(Status.COMPLETED)

    clock.now += 0.6

    assert (known.finished("1h")[1]["processed"], known.finished("24h")[1]["processed"]) == (1, 0)
    clock.now += 12
    assert known.finished("24h")[1]["processed"] == 1


def test_a_process_that_keeps_a_memory_reads_once() -> None:
    with kept(Memory()), CaptureQueriesContext(connection) as queries:
        throughput.finished("7d")
        throughput.finished("7d")

    assert len(queries) == 1
