"""Who may join: everybody, or whom the product's admission lets in.

The real `scheduling.waiting.admission.Admission` decides, on a virtual clock, by the figures of
`looks.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from uuid import UUID

from balancing.endpoints.registry import Target
from benchmarks.simulation.jobs import MODEL, Job, model_of
from benchmarks.simulation.looks import Looks
from benchmarks.simulation.queues import Levels
from scheduling.errors import QueueFull
from scheduling.levels import LEVELS
from scheduling.models import Priority, Source, Status
from scheduling.pauses import NONE
from scheduling.specs import JobSpec, Receipt
from scheduling.waiting.admission import Admission
from scheduling.waiting.queue_load import QueueLoad

_NOBODY = UUID(int=0)
_LOOK_SECONDS = 0.002


class Open:
    """Everybody joins."""

    def admits(self, job: Job, now: float) -> bool:
        del job, now
        return True

    def joined(self, job: Job, now: float) -> None:
        del job, now

    def started(self, job: Job, now: float) -> None:
        del job, now

    def ended(self, job: Job, now: float) -> None:
        del job, now


class Admitting:
    """One web process's door.

    Args:
        slots: of the endpoints, now or at a moment.
    """

    def __init__(self, queue: Levels, *, slots: int | Callable[[float], int]) -> None:
        self._slots = slots if callable(slots) else lambda _: slots
        self._now = 0.0
        self._admission = Admission(clock=lambda: self._now)
        self._flows: dict[str, int] = {}
        self._looks = Looks(queue)

    def admits(self, job: Job, now: float) -> bool:
        self._now = now
        if self._admission.is_due:
            self._look()
        spec = self._spec(job)
        if self._admission.queue.load.waiting:
            job.estimated_wait = self._admission.verdict(spec).wait_seconds
        try:
            self._admission.check([spec])
        except QueueFull:
            return False
        return True

    def joined(self, job: Job, now: float) -> None:
        self._looks.joined(job, now)
        spec = self._spec(job)
        self._admission.record([spec], [Receipt(job.id, Status.QUEUED, "", job.tag)])
        told = self._admission.outlook(spec.level, spec.model, job.tag, job.id)
        if told is not None:
            job.told_position, job.told_wait = told.position or 0, told.wait_seconds

    def started(self, job: Job, now: float) -> None:
        del now
        self._looks.started(job)

    def ended(self, job: Job, now: float) -> None:
        self._now = now
        if self._admission.is_due:
            self._look()
        self._looks.ended(job, now)

    def _spec(self, job: Job) -> JobSpec:
        flow = self._flows.setdefault(job.flow, len(self._flows))
        return _spec(job.level, model_of(job.flow), flow)

    def _look(self) -> None:
        rows = self._looks.rows(self._now)
        endpoint = _endpoint(self._slots(self._now), self._looks.models)
        known = self._admission.queue.load.services
        load = QueueLoad.of_rows(rows, [endpoint], frozenset(), known=known)
        self._admission.queue.update(NONE, load, cost_seconds=_LOOK_SECONDS)


@lru_cache(maxsize=4096)
def _spec(level: str, model: str, flow: int) -> JobSpec:
    return JobSpec(
        level=Priority(LEVELS.index(level)),
        model=model,
        body="",
        flow_id=flow,
        tenant_id=_NOBODY,
        cost=0.0,
        source=Source.OPENAI,
    )


@lru_cache(maxsize=8)
def _endpoint(slots: int, models: frozenset[str]) -> Target:
    return Target(1, MODEL, "", models, "", 1.0, slots, "enabled")
