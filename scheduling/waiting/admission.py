"""Who may join the queue?

A web process keeps one `Admission`, shared by its doors. Its view of the queue is read again beside
the requests, once a second: deciding and telling cost no round trip. While nothing waits or runs,
reading is one small statement.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db import connection

from balancing.endpoints.registry import Target, known_endpoints
from llmqueue_project.config import configuration
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Pause, Priority
from scheduling.pauses import Pauses
from scheduling.policies.admission import Verdict, decide
from scheduling.specs import JobSpec, Receipt
from scheduling.statements import LOAD, WATCH
from scheduling.waiting.level_settings import floors, longest_wait_seconds, most_running
from scheduling.waiting.outlook import Outlook, outlook_of
from scheduling.waiting.queue_load import QueueLoad, parameters
from scheduling.waiting.queue_view import QueueView
from stores.memory import remembered
from stores.postgres import Database, read

CAP_RETRY_SECONDS = 5.0


class Admission:
    """A process's decisions, by its view of the queue.

    Args:
        clock: seconds that only go forward; the machine's unless a simulation has its own.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self.queue = QueueView(clock)

    @property
    def is_due(self) -> bool:
        """Whether it is time to read the queue again."""
        return self.queue.is_due

    def check_intake(self) -> None:
        """
        Raises:
            Maintenance: intake is paused.
        """
        if self.queue.pauses.intake:
            reason = self.queue.pauses.reason(Pause.Scope.INTAKE)
            raise Maintenance(configuration().scheduling.maintenance_retry_seconds, reason)

    def check(self, specs: Sequence[JobSpec], *, batch: bool = False) -> None:
        """Let these jobs join, or say when to try again.

        While Valkey is away nothing starts, and the queue's standstill tells nothing of its pace:
        only the caps refuse then.

        Args:
            batch: exempt from the wait limit, not from the caps.

        Raises:
            Maintenance, QueueFull
        """
        self.check_intake()
        if self.queue.is_old or not self.queue.load.waiting:
            return
        self._check_caps(specs)
        if not batch and not self.queue.stands_still:
            for spec in specs:
                self._check_wait(spec)

    def record(self, specs: Sequence[JobSpec], receipts: Sequence[Receipt]) -> None:
        """These jobs have been stored: they stand before the next ones."""
        self.queue.add(specs, receipts)

    def verdict(self, spec: JobSpec) -> Verdict:
        """How long a job would wait, and whether that is within its level's limit."""
        models = self.queue.load.model_set(spec.model)
        # What is due later joins no queue now; what joins a paused level waits for an operator.
        if models is None or spec.due_at is not None or self.queue.pauses.stops(spec.level):
            return Verdict(True, 0.0)
        jobs, work = self.queue.ahead(models, spec)
        return decide(
            self.queue.load_now(models),
            int(spec.level),
            ahead=work,
            jobs_ahead=jobs,
            limit_seconds=longest_wait_seconds(spec.level),
            floors=floors(),
            starts=lambda: models.starts,
        )

    def outlook(self, level: Priority, model: str, fair_tag: float, job_id: UUID) -> Outlook | None:
        """Place and wait of a queued job; None when nothing is known of them."""
        return outlook_of(self.queue, level, model, fair_tag, job_id)

    def _check_caps(self, specs: Sequence[JobSpec]) -> None:
        config, waiting = configuration().scheduling, self.queue.waiting
        if waiting + len(specs) > config.max_queued:
            raise QueueFull(CAP_RETRY_SECONDS, "the queue is full: too many requests wait")
        bytes_waiting = waiting * self.queue.load.mean_bytes
        if bytes_waiting + sum(len(spec.body) for spec in specs) > config.max_queued_bytes:
            raise QueueFull(CAP_RETRY_SECONDS, "the queue is full: too much text waits")

    def _check_wait(self, spec: JobSpec) -> None:
        verdict = self.verdict(spec)
        if not verdict.admitted:
            reason = f"a {spec.level.queue} request would wait about {verdict.wait_seconds:.0f} s"
            if verdict.wait_seconds <= (limit := longest_wait_seconds(spec.level)):
                reason += f", and might wait longer than {limit:.0f} s"
            raise QueueFull(verdict.retry_after_seconds, reason)


def current() -> Admission:
    """The process's admission, its view read again by Django's connection where it is due."""
    found = remembered(Admission)
    if not found.is_due:
        return found
    began = time.monotonic()
    endpoints = known_endpoints()
    rows: list[tuple[Any, ...]] = []
    with connection.cursor() as cursor:
        cursor.execute(WATCH)
        pauses, busy = _watched(cursor.fetchone())
        if busy or found.queue.is_new:
            cursor.execute(LOAD, parameters(_models(endpoints)))
            rows = cursor.fetchall()
    load = _load(found.queue, pauses, rows, endpoints)
    found.queue.update(pauses, load, cost_seconds=time.monotonic() - began)
    return found


async def refresh(admission: Admission, database: Database, endpoints: Sequence[Target]) -> None:
    """Read the queue beside the requests: the pauses always, a long queue less often.

    Raises:
        psycopg.OperationalError: the server stayed away.
    """
    began = time.monotonic()
    pauses, busy = _watched((await read(database.relaxed, WATCH))[0])
    if busy and not admission.queue.is_affordable:
        admission.queue.pauses = pauses
        return
    rows: list[tuple[Any, ...]] = []
    # At first even an idle queue is read: it tells how long jobs take.
    if busy or admission.queue.is_new:
        rows = await read(database.relaxed, LOAD, parameters(_models(endpoints)))
    # Long lines of many models take a tenth of a second, in which streams would stand still.
    load = await asyncio.to_thread(_load, admission.queue, pauses, rows, endpoints)
    admission.queue.update(pauses, load, cost_seconds=time.monotonic() - began)


def _load(
    queue: QueueView,
    pauses: Pauses,
    rows: Sequence[Sequence[Any]],
    endpoints: Iterable[Target],
) -> QueueLoad:
    known = queue.load.services
    return QueueLoad.of_rows(rows, endpoints, pauses.levels, most_running(), known)


def _watched(row: Any) -> tuple[Pauses, bool]:
    """A row of `sql/watch.sql`: the pauses, and whether anything waits or runs."""
    return Pauses.of_json(row[0]), bool(row[1])


def _models(endpoints: Iterable[Target]) -> set[str]:
    return {name for endpoint in endpoints for name in endpoint.model_names}
