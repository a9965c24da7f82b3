"""Told against waited: `python -m benchmarks.simulation.promises`, with words to choose scenarios.

Each scenario submits jobs to the product's queue in virtual time, notes what each job is told, and
compares it with what came. A wait above a second should be told within a factor of 2, nine times of
ten; a position should be the place among those that wait. Chance can make that impossible: `best`
is the share within a factor of 2 of a teller who knows the order, the ages and the law of the
lengths exactly, and nothing of the future.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings_without_database")
django.setup()

from benchmarks.simulation.doors import Admitting  # noqa: E402
from benchmarks.simulation.fair_tags import FairTags  # noqa: E402
from benchmarks.simulation.jobs import Job  # noqa: E402
from benchmarks.simulation.measures import WORTH_ESTIMATING_SECONDS, Meter  # noqa: E402
from benchmarks.simulation.policies import configured  # noqa: E402
from benchmarks.simulation.promised import LAWS, SPEED, Promised, law_for, scenarios  # noqa: E402
from benchmarks.simulation.queues import Levels  # noqa: E402
from benchmarks.simulation.replay import Replay  # noqa: E402
from benchmarks.simulation.scenarios import TURNAROUND_SECONDS  # noqa: E402
from scheduling.levels import LEVELS  # noqa: E402
from scheduling.policies.rehearsal import Running, Waiting, rehearse  # noqa: E402

FACTOR = 2.0


@dataclass(slots=True)
class Figures:
    """What was told of the waits above a second."""

    factors: list[float] = field(default_factory=list)
    unknown: int = 0
    positions: int = 0
    right_positions: int = 0
    low_positions: int = 0
    nothing: int = 0
    best: list[float] = field(default_factory=list)

    def share_within(self, factors: Sequence[float]) -> float:
        inside = sum(1 / FACTOR <= each <= FACTOR for each in factors)
        return inside / len(factors) if factors else 0.0

    def median(self) -> float | None:
        return sorted(self.factors)[len(self.factors) // 2] if self.factors else None


class Watching(Meter):
    """Compares what each job was told with what came."""

    def __init__(self, scenario: Promised) -> None:
        super().__init__()
        self.figures = Figures()
        self._scenario = scenario

    def starts(self, job: Job) -> None:
        super().starts(job)
        if not self._scenario.since <= job.submitted_at <= self._scenario.until:
            return
        if job.place:
            self.figures.positions += 1
            self.figures.right_positions += job.told_position == job.place
            self.figures.low_positions += job.told_position < job.place
        if job.wait_seconds < WORTH_ESTIMATING_SECONDS:
            return
        if job.told_wait is None:
            self.figures.unknown += 1
        else:
            self.figures.nothing += job.told_wait == 0
            self.figures.factors.append(max(job.told_wait, 0.001) / job.wait_seconds)
        self.figures.best.append(max(job.best_wait, 0.001) / job.wait_seconds)


class Changing(Replay):
    """A replay whose slots and speed change on the way."""

    def __init__(
        self, scenario: Promised, queue: Levels, door: Admitting, meter: Meter, *, best: bool
    ) -> None:
        super().__init__(
            scenario.arrivals(random.Random(scenario.seed)),
            slots=scenario.slots(0.0),
            service_seconds=SPEED.service_seconds,
            queue=queue,
            door=door,
            observer=meter,
            turnaround_seconds=TURNAROUND_SECONDS,
        )
        self._scenario, self._levels, self._known = scenario, queue, scenario.slots(0.0)
        self._rng, self._asks_best = random.Random(2), best
        LAWS["plain"] = law_for(*scenario.law)

    def _submit(self, job: Job) -> None:
        super()._submit(job)
        order = self._levels.orders[job.level]
        if isinstance(order, FairTags):
            tags = [(tag, number) for tag, number, _ in order.waiting]
            mine = (job.tag, job.number)
            job.place = tags.index(mine) + 1 if mine in tags else 0
            if job.place and self._asks_best:
                job.best_wait = self._best(job)

    def _best(self, job: Job) -> float:
        """The middle wait by the true law of the lengths, were no other job to come."""
        running = [
            Running(LAWS[law_of(each)], 0.0, (self.now - each.started_at) / self._slowness())
            for _, _, _, each in self._events
            if each is not None
        ]
        ahead = [
            Waiting(LAWS[law_of(each)], 0.0, LAWS[law_of(each)].seconds)
            for level in LEVELS[: LEVELS.index(job.level) + 1]
            for _, _, each in self._levels.orders[level].waiting  # type: ignore[attr-defined]
            if level != job.level or (each.tag, each.number) <= (job.tag, job.number)
        ]
        slots = self._scenario.slots(self.now)
        known = rehearse(
            running, ahead, [Waiting(LAWS["plain"], 0.0, 1.0)], slots=slots, rng=self._rng
        )
        before = sum(each.size for each in ahead[:-1])
        return known.after(before, slots) * self._slowness()

    def _slowness(self) -> float:
        return self._scenario.slowness(self.now)

    def _fill(self) -> None:
        slots = self._scenario.slots(self.now)
        self._free.extend(range(self._known, slots))
        self._known = max(self._known, slots)
        if slots < self._known:
            kept = [slot for slot in self._free if slot < slots]
            self._free.clear()
            self._free.extend(kept)
        super()._fill()

    def _start(self, job: Job, slot: int) -> None:
        job.service_seconds *= self._scenario.slowness(self.now)
        super()._start(job, slot)


def law_of(job: Job) -> str:
    return job.flow.partition("-")[0] if job.flow.partition("-")[0] in LAWS else "plain"


def run(scenario: Promised, *, best: bool = True) -> Figures:
    """
    Args:
        best: whether the teller who knows the law is asked too, which takes its time.
    """
    queue = configured()
    door = Admitting(queue, slots=scenario.slots)
    meter = Watching(scenario)
    Changing(scenario, queue, door, meter, best=best).run()
    return meter.figures


def main() -> int:
    names = ("waits", "no claim", "told 0", "within 2", "best", "median", "position", "too low")
    print(f"{'':38}" + "".join(f" {name:>8}" for name in names))
    for each in scenarios():
        if not any(name in each.name for name in sys.argv[1:] or [""]):
            continue
        found = run(each)
        print(
            f"{each.name:38} {len(found.factors) + found.unknown:8} {found.unknown:8}"
            f" {found.nothing:8} {found.share_within(found.factors):8.0%}"
            f" {found.share_within(found.best):8.0%} {found.median() or 0:8.2f}"
            f" {found.right_positions / max(1, found.positions):8.0%}"
            f" {found.low_positions / max(1, found.positions):8.1%}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
