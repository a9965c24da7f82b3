"""What waits and how fast it goes, at one moment: the figures that `policies/waiting.py` reads.

One look (`sql/load.sql`) has each level's next fair tags with the jobs' costs, by model. Places are
looked up in memory, so that ten thousand waiting clients cost no more than one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from balancing.endpoints.registry import Target
from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.policies.admission import pools_of
from scheduling.policies.steady import steadied
from scheduling.policies.waiting import WINDOW_SECONDS, LevelLoad, PoolLoad

HEADS = 1000
# Jobs ended, and jobs that came, counted at a look; where there are more, the window is shorter.
COUNTED = 4000
STANDING_SECONDS = 2.0


def parameters(models: Iterable[str]) -> dict[str, Any]:
    """What `sql/load.sql` takes."""
    return {
        "window_seconds": WINDOW_SECONDS,
        "cap": configuration().scheduling.max_queued,
        "heads": HEADS,
        "counted": COUNTED,
        "models": sorted(models),
    }


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
    def of(cls, row: ModelLoad, pool_service_seconds: float) -> Line:
        if row.service_cost > 0 and row.service_seconds > 0 and pool_service_seconds > 0:
            scale = row.service_seconds / pool_service_seconds / row.service_cost
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
class Pool:
    """The models that share endpoints, with what waits for them."""

    models: frozenset[str]
    load: PoolLoad
    lines: dict[Priority, tuple[Line, ...]]

    @classmethod
    def of(
        cls,
        slots: int,
        models: frozenset[str],
        rows: Sequence[ModelLoad],
        *,
        paused: frozenset[str] = frozenset(),
        caps: Sequence[int] = (0, 0, 0, 0),
    ) -> Pool:
        own = [row for row in rows if row.model in models]
        service = _service_seconds(own)
        lines = {
            level: tuple(Line.of(row, service) for row in own if row.level == level and row.queued)
            for level in Priority
        }
        levels = tuple(
            LevelLoad(
                queued=0.0 if level.queue in paused else sum(each.whole for each in lines[level]),
                finished_per_second=sum(r.finished_per_second for r in own if r.level == level),
                arriving_per_second=sum(r.arriving_per_second for r in own if r.level == level),
                most_running=caps[level],
            )
            for level in Priority
        )
        load = PoolLoad(
            levels=levels,
            slots=slots,
            processing=sum(row.processing for row in own),
            service_seconds=service,
            standing=any(
                row.queued and row.oldest_seconds >= STANDING_SECONDS
                for row in own
                if row.level.queue not in paused
            ),
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


@dataclass(frozen=True, slots=True)
class Load:
    """The whole queue at one moment; `waiting` jobs, held ones included, and their mean size."""

    models: tuple[ModelLoad, ...] = ()
    pools: tuple[Pool, ...] = ()
    waiting: int = 0
    mean_bytes: float = 0.0

    @classmethod
    def of_rows(
        cls,
        rows: Sequence[Sequence[Any]],
        endpoints: Iterable[Target],
        paused: frozenset[str],
        caps: Sequence[int] = (0, 0, 0, 0),
    ) -> Load:
        """Rows of `sql/load.sql`; none when nothing waits or runs.

        Args:
            paused: levels; they have nothing that others would wait for.
            caps: each level's own limit of slots, highest level first; 0 is none.
        """
        loads = tuple(ModelLoad.of_row(row) for row in rows)
        groups = pools_of([(e.max_concurrent, e.model_names) for e in endpoints if e.takes_work])
        pools = tuple(
            Pool.of(slots, models, loads, paused=paused, caps=caps) for slots, models in groups
        )
        held, mean_bytes = rows[0][12:14] if rows else (0, 0.0)
        return cls(loads, pools, sum(each.queued for each in loads) + held, mean_bytes)

    def steadied(self, before: Load, seconds: float) -> Load:
        """With rates averaged over the last looks, where the pools are the same."""
        was = {pool.models: pool.load for pool in before.pools}
        pools = tuple(
            replace(pool, load=steadied(pool.load, was[pool.models], seconds))
            if pool.models in was
            else pool
            for pool in self.pools
        )
        return replace(self, pools=pools)

    def clocks(self) -> dict[Priority, float]:
        """Virtual time of the levels at which work waits, while anything runs."""
        if not any(each.processing for each in self.models):
            return {}
        return {each.level: each.clock for each in self.models if each.queued}

    def pool(self, model: str) -> Pool | None:
        return next((pool for pool in self.pools if model in pool.models), None)


def _service_seconds(rows: Iterable[ModelLoad]) -> float:
    """Mean over a pool's models, each as often as its jobs end."""
    jobs = [
        (row.service_seconds, max(1.0, row.finished_per_second * WINDOW_SECONDS))
        for row in rows
        if row.service_seconds
    ]
    # A pool that has ended nothing yet knows nothing, whatever others did.
    return sum(s * n for s, n in jobs) / sum(n for _, n in jobs) if jobs else 0.0


def _sum(places: Iterable[tuple[int, float]]) -> tuple[int, float]:
    jobs, work = 0, 0.0
    for more_jobs, more_work in places:
        jobs, work = jobs + more_jobs, work + more_work
    return jobs, work
