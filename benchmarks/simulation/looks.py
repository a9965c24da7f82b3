"""What `scheduling/sql/load.sql` would read from PostgreSQL at a moment of virtual time."""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice

from benchmarks.simulation.fair_tags import FairTags
from benchmarks.simulation.jobs import Job
from benchmarks.simulation.queues import Levels
from scheduling.levels import LEVELS
from scheduling.policies.waiting import WINDOW_SECONDS
from scheduling.waiting.queue_load import COUNTED, HEADS

# The latest so many tell how long a job takes.
_LATEST = 200


class Recent:
    """Events by level, as far back as the statement looks."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._events: deque[tuple[float, str]] = deque(maxlen=COUNTED)

    def add(self, now: float, level: str) -> None:
        self._events.append((now, level))

    def per_second(self, now: float, *, parts: int = 1) -> dict[str, float]:
        """By level, the middle one of so many parts of the time; shorter parts when there were
        more events than are counted."""
        while self._events and self._events[0][0] <= now - self._seconds:
            self._events.popleft()
        full = len(self._events) == COUNTED
        span = (max(0.1, now - self._events[0][0]) if full else self._seconds) / parts
        counts: dict[str, list[int]] = {level: [0] * parts for level in LEVELS}
        for at, level in self._events:
            counts[level][min(parts - 1, int((now - at) / span))] += 1
        return {level: sorted(each)[parts // 2] / span for level, each in counts.items()}


class Looks:
    """One queue, and what the rows of its jobs would say."""

    def __init__(self, queue: Levels, model: str) -> None:
        self._queue, self._model = queue, model
        self._running: Counter[str] = Counter()
        self._ended = Recent(WINDOW_SECONDS)
        self._came = Recent(2 * WINDOW_SECONDS)
        self._service: deque[tuple[float, float]] = deque(maxlen=_LATEST)

    def joined(self, job: Job, now: float) -> None:
        self._came.add(now, job.level)

    def started(self, job: Job) -> None:
        self._running[job.level] += 1

    def ended(self, job: Job, now: float) -> None:
        self._running[job.level] -= 1
        self._ended.add(now, job.level)
        self._service.append((job.service_seconds, job.cost))

    def rows(self, now: float) -> list[tuple[object, ...]]:
        """None while nothing waits or runs (`watch.sql`)."""
        if not len(self._queue) and not any(self._running.values()):
            return []
        ended = self._ended.per_second(now)
        came = self._came.per_second(now, parts=3)
        return [self._row(level, now, ended[level], came[level]) for level in LEVELS]

    def _row(self, level: str, now: float, ended: float, came: float) -> tuple[object, ...]:
        order = self._queue.orders[level]
        heads: list[Job] = []
        clock = 0.0
        if isinstance(order, FairTags):
            heads = [job for _, _, job in islice(order.waiting, HEADS)]
            clock = order.level.clock
        oldest = now - min((job.submitted_at for job in heads), default=now)
        latest = max(1, len(self._service))
        return (
            LEVELS.index(level),
            self._model,
            len(order),
            [job.tag for job in heads],
            [job.cost for job in heads],
            oldest,
            self._running[level],
            ended,
            came,
            sum(seconds for seconds, _ in self._service) / latest,
            sum(cost for _, cost in self._service) / latest,
            clock,
            0,
            0.0,
        )
