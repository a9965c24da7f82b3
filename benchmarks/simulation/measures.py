"""Which figures does a run give? Waits, shares and slot use, in memory that does not grow."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from benchmarks.simulation.jobs import Job
from scheduling.levels import LEVELS

_LEAST_SECONDS = 0.001
_GROWTH = math.log(1.01)
# Of waits shorter than this no estimate need be good.
WORTH_ESTIMATING_SECONDS = 1.0


class Histogram:
    """Durations in buckets 1 % wide: quantiles within half a percent, the mean exact."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        place = int(math.log(seconds / _LEAST_SECONDS) / _GROWTH) if seconds > _LEAST_SECONDS else 0
        self._buckets[place + 1 if seconds > _LEAST_SECONDS else 0] += 1

    def include(self, other: Histogram) -> None:
        self._buckets.update(other._buckets)
        self.count += other.count
        self.total += other.total

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> float | None:
        """The least wait that so many were not above; None without any."""
        rank, seen = max(1, math.ceil(share * self.count)), 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return _LEAST_SECONDS * math.exp((bucket - 0.5) * _GROWTH) if bucket else 0.0
        return None


@dataclass(slots=True)
class LevelFigures:
    arrived: int = 0
    refused: int = 0
    ended: int = 0
    waits: Histogram = field(default_factory=Histogram)


class Meter:
    """Watches one run.

    Attributes:
        timeline: mean wait of a level's jobs by the bin in which they were submitted.
    """

    def __init__(self, *, bin_seconds: float = 60.0, by_flow: bool = False) -> None:
        self.levels = {level: LevelFigures() for level in LEVELS}
        self.flows: defaultdict[str, Histogram] = defaultdict(Histogram)
        self.estimates = Histogram()
        self.timeline: dict[str, dict[int, Histogram]] = {level: {} for level in LEVELS}
        self.bin_seconds = bin_seconds
        self.elapsed = 0.0
        self.busy_seconds = 0.0
        self.backlogged_seconds = 0.0
        self.busy_backlogged_seconds = 0.0
        self._by_flow = by_flow
        self._draining = False
        self._queued: Counter[str] = Counter()
        self._picks: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    # ---- what the run reports ----------------------------------------------------------------

    def passed(self, seconds: float, *, busy: int, waiting: int) -> None:
        self.elapsed += seconds
        self.busy_seconds += seconds * busy
        if waiting:
            self.backlogged_seconds += seconds
            self.busy_backlogged_seconds += seconds * busy

    def drains(self) -> None:
        """Nothing more arrives: who runs now says nothing about shares."""
        self._draining = True

    def submitted(self, job: Job, *, admitted: bool) -> None:
        figures = self.levels[job.level]
        figures.arrived += 1
        if admitted:
            self._queued[job.level] += 1
        else:
            figures.refused += 1

    def starts(self, job: Job) -> None:
        self._count_pick(job)
        self._queued[job.level] -= 1
        wait = job.wait_seconds
        self.levels[job.level].waits.add(wait)
        bins = self.timeline[job.level]
        bins.setdefault(int(job.submitted_at // self.bin_seconds), Histogram()).add(wait)
        if self._by_flow:
            self.flows[job.flow].add(wait)
        if job.estimated_wait and wait >= WORTH_ESTIMATING_SECONDS:
            estimate = max(job.estimated_wait, _LEAST_SECONDS)
            self.estimates.add(max(wait / estimate, estimate / wait))

    def ended(self, job: Job, now: float) -> None:
        del now
        self.levels[job.level].ended += 1

    def _count_pick(self, job: Job) -> None:
        """Of the picks at which a level had work, which were its own; while requests arrive."""
        if self._draining:
            return
        for level in LEVELS:
            if self._queued[level]:
                self._seen[level] += 1
                self._picks[level] += level == job.level

    # ---- what is asked of it -----------------------------------------------------------------

    def share(self, level: str) -> float | None:
        """Of the picks made while the level had work, those that it got; None without any."""
        return self._picks[level] / self._seen[level] if self._seen[level] else None

    def wait(self, level: str, quantile: float) -> float | None:
        return self.levels[level].waits.quantile(quantile)

    def refused(self, level: str) -> float:
        figures = self.levels[level]
        return figures.refused / figures.arrived if figures.arrived else 0.0

    def waits_of(self, flows: Iterable[str]) -> Histogram:
        """Of several flows together."""
        pooled = Histogram()
        for flow in flows:
            pooled.include(self.flows[flow])
        return pooled

    def slot_use(self, slots: int) -> float | None:
        """Of the slots, while anything waits."""
        if not self.backlogged_seconds:
            return None
        return self.busy_backlogged_seconds / (slots * self.backlogged_seconds)
