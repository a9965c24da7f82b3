"""When do the next jobs start? The queue is played forward a few times, with times drawn by chance.

A rate says nothing of the next few starts: four slots that were taken at one moment come free at
one moment, and not one each quarter of a job. So the slots are played as they are: each job that
runs ends at a time drawn from those that fit its age, and whatever waits takes the slot that frees
first. Each place in the queue is told the middle of what the rehearsals gave it. Far back in the
queue the slots are out of step with each other, and the rate is enough.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heapreplace
from itertools import accumulate, islice

from scheduling.policies.durations import Durations

REHEARSALS = 7
# Generations of jobs until slots are out of step; places rehearsed at the least.
GENERATIONS, LEAST_PLACES = 3, 16
# More slots are rehearsed by a part of them: of 1,000 every 32nd.
MOST_SLOTS = 32


@dataclass(frozen=True, slots=True)
class Running:
    """A job that runs: how long such jobs take, its expected cost, and for how long it has run."""

    durations: Durations
    cost: float
    age: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits, in the order in which they start; `size` is in jobs by size."""

    durations: Durations
    cost: float
    size: float


@dataclass(frozen=True, slots=True)
class Starts:
    """When a job starts, by the work before it.

    Attributes:
        work: before each place, in jobs by size; rising.
        seconds: when that place starts, in the middle of the rehearsals.
    """

    work: tuple[float, ...]
    seconds: tuple[float, ...]

    def after(self, work: float, rate: float) -> float:
        """Seconds until a job starts that has so much work before it.

        Args:
            rate: work that starts in a second, for what is behind the places known here.
        """
        place = bisect_right(self.work, work) - 1
        if place < 0:
            return self.seconds[0]
        if place + 1 == len(self.work):
            return self.seconds[-1] + (work - self.work[-1]) / rate
        low, high = self.work[place : place + 2]
        part = (work - low) / (high - low) if high > low else 0.0
        return self.seconds[place] + part * (self.seconds[place + 1] - self.seconds[place])


def rehearse(
    running: Sequence[Running],
    waiting: Iterable[Waiting],
    typical: Sequence[Waiting],
    *,
    slots: int,
    rng: random.Random,
) -> Starts:
    """
    Args:
        running: may be more than there are slots; then the first to end leave none.
        typical: whatever will come behind those that wait; one of them is drawn. At least one.
        slots: at least one.
    """
    step = -(-max(slots, len(running)) // MOST_SLOTS)
    places = max(LEAST_PLACES, GENERATIONS * max(1, slots // step))
    queue = list(islice(waiting, places * step))
    queue += rng.choices(typical, k=places * step - len(queue))
    work = tuple(accumulate((each.size for each in queue), initial=0.0))[:-1:step]
    ran = sorted(running, key=lambda each: each.age)[::step]
    plays = [_played(ran, queue[::step], max(1, slots // step), rng) for _ in range(REHEARSALS)]
    middle = REHEARSALS // 2
    return Starts(work, _rising(sorted(starts)[middle] for starts in zip(*plays, strict=True)))


def _played(
    running: Sequence[Running], queue: Sequence[Waiting], slots: int, rng: random.Random
) -> list[float]:
    """When each job of the queue starts, in one rehearsal."""
    ends = [each.durations.drawn(rng, each.cost, age=each.age) - each.age for each in running]
    ends += [0.0] * (slots - len(ends))
    heapify(ends)
    for _ in range(len(ends) - slots):
        heappop(ends)
    starts = []
    for job in queue:
        starts.append(ends[0])
        heapreplace(ends, ends[0] + job.durations.drawn(rng, job.cost))
    return starts


def _rising(seconds: Iterable[float]) -> tuple[float, ...]:
    """Middles of different places may cross by chance, and starts cannot."""
    return tuple(accumulate(seconds, max))
