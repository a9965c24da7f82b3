"""What `scheduling/sql/load.sql` would read from PostgreSQL at a moment of virtual time."""

from __future__ import annotations

from collections import defaultdict, deque

from benchmarks.simulation.fair_tags import FairTags
from benchmarks.simulation.jobs import MODEL, Job, model_of
from benchmarks.simulation.queues import Levels
from scheduling.levels import LEVELS
from scheduling.policies.waiting import WINDOW_SECONDS
from scheduling.waiting.queue_load import COUNTED, HEADS

# The latest so many tell how long a job takes.
_LATEST = 200


# A level and a model.
Line = tuple[str, str]


def _line(job: Job) -> Line:
    return job.level, model_of(job.flow)


class Recent:
    """Events by level and model, as far back as the statement looks."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._events: deque[tuple[float, Line]] = deque(maxlen=COUNTED)

    def add(self, now: float, line: Line) -> None:
        self._events.append((now, line))

    def per_second(self, now: float, *, parts: int = 1) -> dict[Line, float]:
        """By line, the middle one of so many parts of the time; shorter parts when there were
        more events than are counted."""
        while self._events and self._events[0][0] <= now - self._seconds:
            self._events.popleft()
        full = len(self._events) == COUNTED
        span = (max(0.1, now - self._events[0][0]) if full else self._seconds) / parts
        counts: defaultdict[Line, list[int]] = defaultdict(lambda: [0] * parts)
        for at, line in self._events:
            counts[line][min(parts - 1, int((now - at) / span))] += 1
        return {line: sorted(each)[parts // 2] / span for line, each in counts.items()}


class Looks:
    """One queue, and what the rows of its jobs would say."""

    def __init__(self, queue: Levels) -> None:
        self._queue = queue
        self._running: dict[int, Job] = {}
        self.models: frozenset[str] = frozenset({MODEL})
        self._ended = Recent(WINDOW_SECONDS)
        self._came = Recent(2 * WINDOW_SECONDS)
        self._service: deque[tuple[str, float, float]] = deque(maxlen=_LATEST)

    def joined(self, job: Job, now: float) -> None:
        self.models |= {model_of(job.flow)}
        self._came.add(now, _line(job))

    def started(self, job: Job) -> None:
        self._running[job.number] = job

    def ended(self, job: Job, now: float) -> None:
        del self._running[job.number]
        self._ended.add(now, _line(job))
        self._service.appendleft((model_of(job.flow), job.service_seconds, job.cost))

    def rows(self, now: float) -> list[tuple[object, ...]]:
        """None while nothing waits or runs (`watch.sql`)."""
        if not len(self._queue) and not self._running:
            return []
        ended = self._ended.per_second(now)
        came = self._came.per_second(now, parts=3)
        lines = [(level, model) for level in LEVELS for model in sorted(self.models)]
        return [self._row(*line, now, ended.get(line, 0.0), came.get(line, 0.0)) for line in lines]

    def _row(
        self, level: str, model: str, now: float, ended: float, came: float
    ) -> tuple[object, ...]:
        order = self._queue.orders[level]
        own: list[Job] = []
        clock = 0.0
        if isinstance(order, FairTags):
            own = [job for _, _, job in order.waiting if model_of(job.flow) == model]
            clock = order.level.clock
        heads = own[:HEADS]
        service = [each for each in self._service if each[0] == model]
        oldest = now - min((job.submitted_at for job in heads), default=now)
        running = [job for job in self._running.values() if _line(job) == (level, model)]
        return (
            LEVELS.index(level),
            model,
            len(own),
            [job.tag for job in heads],
            [job.cost for job in heads],
            [str(job.id) for job in heads],
            oldest,
            len(running),
            [now - job.started_at for job in running],
            [job.cost for job in running],
            ended,
            came,
            [seconds for _, seconds, _ in service],
            [cost for _, _, cost in service],
            clock,
            0,
            0.0,
        )
