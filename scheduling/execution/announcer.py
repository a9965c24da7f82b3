"""Telling the app above that a job has ended: Django's signal, from threads of its own.

Receivers write by the ORM; the engine's loop must not wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog
from django.db import close_old_connections, connection

from scheduling import metrics
from scheduling.dispatch.claimed import Claimed
from scheduling.execution.contracts import Entries
from scheduling.models import Job, Status
from scheduling.outbox import FINAL, JobStream, end_of
from scheduling.signals import is_announced, job_finished
from scheduling.sweep import Ended

log = structlog.get_logger(__name__)
THREADS = 4
Result = TypeVar("Result")


class Announcer:
    """Tells the app above, and whoever waits, of one worker's ends."""

    def __init__(self, outbox: Entries) -> None:
        self._outbox = outbox
        self._threads = ThreadPoolExecutor(THREADS, "announce")

    async def announce(self, job: Claimed | Ended, status: Status) -> None:
        """Send `job_finished`; returns when every receiver has been told."""

        def send() -> None:
            replies = job_finished.send_robust(
                sender=Job,
                job_id=job.id,
                source=job.source,
                status=status,
                sequence_key=job.sequence_key,
            )
            for receiver, error in replies:
                if isinstance(error, Exception):
                    log.error("job_finished.failed", receiver=str(receiver), exc_info=error)

        await asyncio.get_running_loop().run_in_executor(self._threads, closing(send))

    async def swept(self, job: Ended) -> None:
        """A job that ended without a worker: the same news as any other end."""
        metrics.jobs.labels(metrics.LEVEL_NAMES[job.level], job.status.value).inc()
        if job.status == Status.FAILED:
            log.warning(
                "job.failed",
                job=str(job.id),
                request_id=job.request_id,
                code=job.error_code,
                attempts=job.attempts,
            )
        if is_announced(job.source):
            await self.announce(job, job.status)
        self._outbox.put(JobStream.after(job), FINAL, end_of(job))

    def close(self) -> None:
        self._threads.shutdown()


def closing(work: Callable[[], Result]) -> Callable[[], Result]:
    """`work` in a thread: Django's connection is not left open behind it."""

    def run() -> Result:
        close_old_connections()
        try:
            return work()
        finally:
            connection.close()

    return run
