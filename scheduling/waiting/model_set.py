"""What waits for the models that share endpoints, and how much stands before a place?

`sql/load.sql` has each level's next fair tags with the jobs' costs, by model. Places are looked up
in memory, so that ten thousand waiting clients cost no more than one.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from itertools import accumulate
from operator import itemgetter
from typing import Any

from scheduling.models import Priority
from scheduling.policies.durations import Durations, slowness
from scheduling.policies.rehearsal import MOST_SLOTS, Running, Starts, Waiting, rehearse
from scheduling.policies.waiting import LevelLoad, ModelSetLoad, slots_that_work

STANDING_SECONDS = 2.0
# The columns of `sql/load.sql` that are arrays; an empty one may be null.
_ARRAYS = (3, 4, 5, 8, 9, 12, 13)
# A place in a level: a fair tag, and the id as text, because tags may be alike.
Place = tuple[float, str]
# Behind every id.
LAST = "~"


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """One level of one model, in the order of `sql/load.sql`'s columns.

    Attributes:
        tags, costs, ids: of its next jobs, in fair order.
        oldest_seconds: how long one of them has been queued.
        ages, running_costs: of the jobs that run; `processing` counts them all.
        service_seconds, service_costs: of the model's latest answers, of all levels, newest first.
        clock: the level's virtual time.
    """

    level: Priority
    model: str
    queued: int
    tags: tuple[float, ...]
    costs: tuple[float, ...]
    ids: tuple[str, ...]
    oldest_seconds: float
    processing: int
    ages: tuple[float, ...]
    running_costs: tuple[float, ...]
    finished_per_second: float
    arriving_per_second: float
    service_seconds: tuple[float, ...]
    service_costs: tuple[float, ...]
    clock: float

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> ModelLoad:
        values: list[Any] = [Priority(row[0]), *row[1:15]]
        for place in _ARRAYS:
            values[place] = tuple(values[place] or ())
        return cls(*values)


@dataclass(frozen=True, slots=True)
class Services:
    """What is known of how long jobs run, by model.

    Attributes:
        seconds, costs: of the latest answers, newest first.
        latest: how many of the latest answers of all models were this one's; 0 if it is remembered
            from an earlier reading.
    """

    seconds: tuple[float, ...]
    costs: tuple[float, ...]
    latest: int

    def remembered(self) -> Services:
        return Services(self.seconds, self.costs, 0)


@dataclass(frozen=True, slots=True)
class Line:
    """The jobs of one model that wait at a level, and how much work each is.

    `work` has, for each place, what stands before it, in jobs by size; the last is of all known.
    """

    queued: int
    places: tuple[Place, ...]
    costs: tuple[float, ...]
    work: tuple[float, ...]
    clock: float
    durations: Durations | None

    @classmethod
    def of(cls, row: ModelLoad, durations: Durations | None, service_seconds: float) -> Line:
        """
        Args:
            durations: of the model; None where nothing is known.
            service_seconds: of the whole model set; a job of that length has the size 1.
        """
        sizes = [_size(cost, durations, service_seconds) for cost in row.costs]
        places = tuple(zip(row.tags, row.ids, strict=True))
        work = tuple(accumulate(sizes, initial=0.0))
        return cls(row.queued, places, row.costs, work, row.clock, durations)

    @property
    def whole(self) -> float:
        """The work of all its jobs, those behind the known ones by their mean."""
        return self.work[-1] * self.queued / len(self.places) if self.places else float(self.queued)

    def before(self, place: int) -> tuple[int, float]:
        """Jobs and work before a place among the known ones; behind the last one stand all."""
        if place == len(self.places):
            return self.queued, self.whole
        return place, self.work[place]

    def has(self, place: Place) -> bool:
        """Whether a job waits here; of those behind the known ones it is taken to be so."""
        found = bisect_left(self.places, place)
        if found == len(self.places):
            return self.queued > found > 0
        return self.places[found] == place

    def waiting(self) -> Iterator[tuple[Place, float, float, Durations | None]]:
        """Place, cost, size and durations of each known job, in fair order."""
        sizes = (after - before for before, after in zip(self.work, self.work[1:], strict=False))
        for place, cost, size in zip(self.places, self.costs, sizes, strict=True):
            yield place, cost, size, self.durations


# Without slots, because it remembers its rehearsal.
@dataclass(frozen=True)
class ModelSet:
    """Models that share endpoints, with what waits for them and what runs there."""

    models: frozenset[str]
    load: ModelSetLoad
    lines: dict[Priority, tuple[Line, ...]]
    durations: Mapping[str, Durations]
    running: tuple[tuple[str, float, float], ...] = ()

    @classmethod
    def of(
        cls,
        slots: int,
        models: frozenset[str],
        rows: Sequence[ModelLoad],
        services: Mapping[str, Services],
        *,
        paused: frozenset[str] = frozenset(),
        most_running: Sequence[int] = (0, 0, 0, 0),
    ) -> ModelSet:
        """
        Args:
            rows: of these models and of others.
            services: how long jobs of these models, and of others, ran.
            paused: levels; they have nothing that others would wait for.
            most_running: each level's own limit of slots, highest level first; 0 is none.
        """
        own = [row for row in rows if row.model in models]
        running = tuple(_running(own))
        known = {model: services[model] for model in sorted(models) if model in services}
        durations = _durations(known, running)
        service = _mean_seconds(known, durations)
        lines = {
            level: tuple(
                Line.of(row, durations.get(row.model), service)
                for row in own
                if row.level == level and row.queued
            )
            for level in Priority
        }
        load = ModelSetLoad(
            levels=tuple(
                _level_load(
                    [row for row in own if row.level == level],
                    () if level.queue in paused else lines[level],
                    most_running[level],
                )
                for level in Priority
            ),
            slots=slots,
            processing=sum(row.processing for row in own),
            service_seconds=service,
            standing=any(_stands(row) for row in own if row.level.queue not in paused),
        )
        return cls(models, load, lines, durations, running)

    @cached_property
    def starts(self) -> Starts | None:
        """When the next places start; None where nothing is known or nothing is being done."""
        slots = slots_that_work(self.load)
        if not self.durations or not slots or (self.load.standing and not self.load.processing):
            return None
        typical = [Waiting(each, each.cost, 1.0) for each in self.durations.values()]
        running = [
            Running(found, cost, age)
            for model, cost, age in self.running
            if (found := self.durations.get(model, typical[0].durations))
        ]
        return rehearse(running, self._waiting(), typical, slots=slots, rng=random.Random(0))  # noqa: S311 - not for secrets

    def _waiting(self) -> Iterator[Waiting]:
        """What waits, in the order in which it starts as far as that is known."""
        other = next(iter(self.durations.values()))
        for level in Priority:
            if self.load.levels[level].queued:
                lines = (line.waiting() for line in self.lines[level])
                for _, cost, size, durations in merge(*lines, key=itemgetter(0)):
                    yield Waiting(durations or other, cost, size)

    def ahead(self, level: Priority, last_tag: float) -> tuple[int, float]:
        """Jobs and work of a level before the next job of a flow.

        Args:
            last_tag: of the flow's latest job. A flow whose last tag the clock has passed has
                nothing waiting: its next job starts at the clock (`sql/submit.sql`).
        """
        return _sum(
            line.before(bisect_right(line.places, (max(line.clock, last_tag), LAST)))
            for line in self.lines[level]
        )

    def before(self, level: Priority, place: Place) -> tuple[int, float]:
        """Jobs and work of a level before a job that waits at this place."""
        return _sum(line.before(bisect_left(line.places, place)) for line in self.lines[level])

    def has(self, level: Priority, place: Place) -> bool:
        """Whether a job waits at this place of the level."""
        return any(line.has(place) for line in self.lines[level])

    def jobs_above(self, level: Priority) -> int:
        """How many jobs wait at higher levels."""
        return sum(
            line.queued
            for each in Priority
            if each < level and self.load.levels[each].queued
            for line in self.lines[each]
        )


def _level_load(rows: Sequence[ModelLoad], lines: Sequence[Line], most_running: int) -> LevelLoad:
    return LevelLoad(
        queued=sum(line.whole for line in lines) if lines else 0.0,
        finished_per_second=sum(row.finished_per_second for row in rows),
        arriving_per_second=sum(row.arriving_per_second for row in rows),
        most_running=most_running,
        running=sum(row.processing for row in rows),
    )


def _stands(row: ModelLoad) -> bool:
    """Whether its work has waited for a while."""
    return row.queued > 0 and row.oldest_seconds >= STANDING_SECONDS


def _running(rows: Iterable[ModelLoad]) -> Iterable[tuple[str, float, float]]:
    """Model, cost and age of each job that runs."""
    for row in rows:
        for age, cost in zip(row.ages, row.running_costs, strict=True):
            yield row.model, cost, age


def _durations(
    known: Mapping[str, Services], running: Sequence[tuple[str, float, float]]
) -> dict[str, Durations]:
    """By model; all of them slower where what runs says so."""
    found = {
        model: made
        for model, each in known.items()
        if (made := Durations.of(each.seconds, each.costs)) is not None
    }
    some = running[:: 1 + len(running) // MOST_SLOTS]
    times = slowness([(found[model], cost, age) for model, cost, age in some if model in found])
    return found if times == 1 else {model: each.slowed(times) for model, each in found.items()}


def _mean_seconds(known: Mapping[str, Services], durations: Mapping[str, Durations]) -> float:
    """Mean over the models of a set, each as often as its jobs end; 0 where nothing is known.

    A set of which nothing has ended yet knows nothing, whatever other sets did.
    """
    jobs = [(each.seconds, max(1, known[model].latest)) for model, each in durations.items()]
    return sum(s * n for s, n in jobs) / sum(n for _, n in jobs) if jobs else 0.0


def _size(cost: float, durations: Durations | None, service_seconds: float) -> float:
    return durations.expected(cost) / service_seconds if durations and service_seconds else 1.0


def _sum(places: Iterable[tuple[int, float]]) -> tuple[int, float]:
    jobs, work = 0, 0.0
    for more_jobs, more_work in places:
        jobs, work = jobs + more_jobs, work + more_work
    return jobs, work
