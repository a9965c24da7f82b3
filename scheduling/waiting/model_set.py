"""What waits for the models that share endpoints, and how much stands before a place?

`sql/load.sql` has each level's next fair tags with the jobs' costs, by model. Places are looked up
in memory, so that ten thousand waiting clients cost no more than one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from scheduling.models import Priority
from scheduling.policies.waiting import WINDOW_SECONDS, LevelLoad, ModelSetLoad

STANDING_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """One level of one model, in the order of `sql/load.sql`'s columns.

    Attributes:
        tags, costs: of its next jobs, in fair order.
        oldest_seconds: how long one of them has been queued.
        service_seconds, service_cost: means of the model's latest answers, of all levels.
        clock: the level's virtual time.
    """

    level: Priority
    model: str
    queued: int
    tags: tuple[float, ...]
    costs: tuple[float, ...]
    oldest_seconds: float
    processing: int
    finished_per_second: float
    arriving_per_second: float
    service_seconds: float
    service_cost: float
    clock: float

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> ModelLoad:
        return cls(Priority(row[0]), row[1], row[2], tuple(row[3]), tuple(row[4]), *row[5:12])


@dataclass(frozen=True, slots=True)
class Line:
    """The jobs of one model that wait at a level, and how much work each is.

    `work` has, for each place, what stands before it, in jobs by size; the last is of all known.
    """

    queued: int
    tags: tuple[float, ...]
    work: tuple[float, ...]
    clock: float

    @classmethod
    def of(cls, row: ModelLoad, service_seconds: float) -> Line:
        """
        Args:
            service_seconds: of the whole model set; a job of that length has the size 1.
        """
        if row.service_cost > 0 and row.service_seconds > 0 and service_seconds > 0:
            scale = row.service_seconds / service_seconds / row.service_cost
            sizes = [cost * scale for cost in row.costs]
        else:
            sizes = [1.0] * len(row.tags)
        return cls(row.queued, row.tags, tuple(accumulate(sizes, initial=0.0)), row.clock)

    @property
    def whole(self) -> float:
        """The work of all its jobs, those behind the known ones by their mean."""
        return self.work[-1] * self.queued / len(self.tags) if self.tags else float(self.queued)

    def before(self, place: int) -> tuple[int, float]:
        """Jobs and work before a place among the tags; behind the last one stand all."""
        if place == len(self.tags):
            return self.queued, self.whole
        return place, self.work[place]


@dataclass(frozen=True, slots=True)
class ModelSet:
    """Models that share endpoints, with what waits for them."""

    models: frozenset[str]
    load: ModelSetLoad
    lines: dict[Priority, tuple[Line, ...]]

    @classmethod
    def of(
        cls,
        slots: int,
        models: frozenset[str],
        rows: Sequence[ModelLoad],
        *,
        paused: frozenset[str] = frozenset(),
        most_running: Sequence[int] = (0, 0, 0, 0),
    ) -> ModelSet:
        """
        Args:
            rows: of these models and of others.
            paused: levels; they have nothing that others would wait for.
            most_running: each level's own limit of slots, highest level first; 0 is none.
        """
        own = [row for row in rows if row.model in models]
        service = _service_seconds(own)
        lines = {
            level: tuple(Line.of(row, service) for row in own if row.level == level and row.queued)
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
        return cls(models, load, lines)

    def ahead(self, level: Priority, last_tag: float) -> tuple[int, float]:
        """Jobs and work of a level before the next job of a flow.

        Args:
            last_tag: of the flow's latest job. A flow whose last tag the clock has passed has
                nothing waiting: its next job starts at the clock (`sql/submit.sql`).
        """
        return _sum(
            line.before(bisect_right(line.tags, max(line.clock, last_tag)))
            for line in self.lines[level]
        )

    def before(self, level: Priority, tag: float) -> tuple[int, float]:
        """Jobs and work of a level before a job that waits with this tag."""
        return _sum(line.before(bisect_left(line.tags, tag)) for line in self.lines[level])


def _level_load(rows: Sequence[ModelLoad], lines: Sequence[Line], most_running: int) -> LevelLoad:
    return LevelLoad(
        queued=sum(line.whole for line in lines) if lines else 0.0,
        finished_per_second=sum(row.finished_per_second for row in rows),
        arriving_per_second=sum(row.arriving_per_second for row in rows),
        most_running=most_running,
    )


def _stands(row: ModelLoad) -> bool:
    """Whether its work has waited for a while."""
    return row.queued > 0 and row.oldest_seconds >= STANDING_SECONDS


def _service_seconds(rows: Iterable[ModelLoad]) -> float:
    """Mean over the models of a set, each as often as its jobs end."""
    jobs = [
        (row.service_seconds, max(1.0, row.finished_per_second * WINDOW_SECONDS))
        for row in rows
        if row.service_seconds
    ]
    # A set of which nothing has ended yet knows nothing, whatever other sets did.
    return sum(s * n for s, n in jobs) / sum(n for _, n in jobs) if jobs else 0.0


def _sum(places: Iterable[tuple[int, float]]) -> tuple[int, float]:
    jobs, work = 0, 0.0
    for more_jobs, more_work in places:
        jobs, work = jobs + more_jobs, work + more_work
    return jobs, work
