"""What is told of jobs that the sweep brought to their end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from scheduling.execution.announcer import Announcer
from scheduling.models import Status
from scheduling.outbox import JobStream
from scheduling.sweep import Ended

LOST = Ended(
    id=uuid4(),
    level=2,
    status=Status.FAILED,
    source="openai",
    origin="",
    sequence_key=None,
    attempts=3,
    stream=False,
    error_code="lease_lost",
    error_message="the worker w0 went away",
    request_id="asked-7",
)


class StubOutbox:
    def put(self, stream: JobStream, event: str, data: str) -> None:
        return


@pytest.fixture
def announcer() -> Iterator[Announcer]:
    made = Announcer(StubOutbox())
    yield made
    made.close()


async def test_a_job_that_lost_its_last_worker_is_logged(announcer: Announcer) -> None:
    with capture_logs() as logs:
        await announcer.swept(LOST)
        await announcer.swept(replace(LOST, status=Status.TIMEOUT))

    assert logs == [
        {
            "event": "job.failed",
            "log_level": "warning",
            "job": str(LOST.id),
            "request_id": "asked-7",
            "code": "lease_lost",
            "attempts": 3,
        }
    ]
