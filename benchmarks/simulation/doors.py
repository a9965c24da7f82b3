"""Who may join: everybody, or whom the product's admission lets in.

The real `scheduling.admission.Admission` decides, on a virtual clock, by the figures that
`scheduling/sql/load.sql` would read from PostgreSQL at that moment.
"""

from __future__ import annotations

from collections import Counter, deque
from functools import lru_cache
from itertools import islice
from uuid import UUID

from balancing.registry import Target
from benchmarks.simulation.fair_tags import FairTags
from benchmarks.simulation.jobs import Job
from benchmarks.simulation.queues import Levels
from scheduling.admission import Admission
from scheduling.backlog import HEADS, Load
from scheduling.errors import QueueFull
from scheduling.levels import LEVELS
from scheduling.models import Priority, Status
from scheduling.pauses import NONE
from scheduling.policies.fairness import weighted_tokens
from scheduling.policies.waiting import WINDOW_SECONDS
from scheduling.submission import JobSpec, Receipt

MODEL = "simulated"
_NOBODY = UUID(int=0)
# `sql/load.sql`: the latest so many tell how long a job takes.
_LATEST = 200
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
    """One web process's door."""

    def __init__(self, queue: Levels, *, slots: int) -> None:
        self._queue, self._slots = queue, slots
        self._now = 0.0
        self._admission = Admission(clock=lambda: self._now)
        self._flows: dict[str, int] = {}
        self._running: Counter[str] = Counter()
        self._ended: deque[tuple[float, str]] = deque()
        self._ended_by_level: Counter[str] = Counter()
        self._came: deque[tuple[float, str]] = deque()
        self._came_by_level: Counter[str] = Counter()
        self._service: deque[tuple[float, float]] = deque(maxlen=_LATEST)

    def admits(self, job: Job, now: float) -> bool:
        self._now = now
        if self._admission.is_due:
            self._look()
        spec = self._spec(job)
        if self._admission.load.waiting:
            job.estimated_wait = self._admission.verdict(spec).wait_seconds
        try:
            self._admission.check([spec])
        except QueueFull:
            return False
        return True

    def joined(self, job: Job, now: float) -> None:
        del now
        self._came.append((self._now, job.level))
        self._came_by_level[job.level] += 1
        spec = self._spec(job)
        self._admission.joined([spec], [Receipt(spec.id, Status.QUEUED, "", job.tag)])

    def started(self, job: Job, now: float) -> None:
        del now
        self._running[job.level] += 1

    def ended(self, job: Job, now: float) -> None:
        self._running[job.level] -= 1
        self._ended.append((now, job.level))
        self._ended_by_level[job.level] += 1
        cost = weighted_tokens(job.arrival.input_tokens, job.arrival.output_tokens)
        self._service.append((job.service_seconds, cost))

    def _spec(self, job: Job) -> JobSpec:
        return _spec(job.level, self._flows.setdefault(job.flow, len(self._flows)))

    def _look(self) -> None:
        for events, counts in (
            (self._ended, self._ended_by_level),
            (self._came, self._came_by_level),
        ):
            while events and events[0][0] <= self._now - WINDOW_SECONDS:
                counts[events.popleft()[1]] -= 1
        rows = [self._row(level) for level in LEVELS] if len(self._queue) else []
        load = Load.of_rows(rows, [_endpoint(self._slots)], frozenset())
        self._admission.learn(NONE, load, cost_seconds=_LOOK_SECONDS)

    def _row(self, level: str) -> tuple[object, ...]:
        order = self._queue.orders[level]
        heads: list[Job] = []
        clock = 0.0
        if isinstance(order, FairTags):
            heads = [job for _, _, job in islice(order.waiting, HEADS)]
            clock = order.level.clock
        oldest = self._now - min((job.submitted_at for job in heads), default=self._now)
        ended = max(1, len(self._service))
        return (
            LEVELS.index(level),
            MODEL,
            len(order),
            [job.tag for job in heads],
            [job.cost for job in heads],
            oldest,
            self._running[level],
            self._ended_by_level[level] / WINDOW_SECONDS,
            self._came_by_level[level] / WINDOW_SECONDS,
            sum(seconds for seconds, _ in self._service) / ended,
            sum(cost for _, cost in self._service) / ended,
            clock,
            0,
            0.0,
        )


@lru_cache(maxsize=4096)
def _spec(level: str, flow: int) -> JobSpec:
    return JobSpec(
        level=Priority(LEVELS.index(level)),
        model=MODEL,
        body="",
        flow_id=flow,
        tenant_id=_NOBODY,
        cost=0.0,
        source="simulation",
    )


@lru_cache(maxsize=8)
def _endpoint(slots: int) -> Target:
    return Target(1, MODEL, "", frozenset({MODEL}), "", 1.0, slots, "enabled")
