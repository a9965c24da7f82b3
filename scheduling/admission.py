"""Who may join the queue: the figures that `policies/admission.py` decides on, and the decision.

A web process keeps one look at the queue, shared by both doors and refreshed beside the requests,
once a second: deciding costs no round trip. While nothing waits the look is one small statement
and admission is free. What a look cannot know yet is counted here: requests admitted since.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from balancing.registry import Target, known_endpoints
from llmqueue_project.config import load
from scheduling.database import Database, read
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Pause, Priority, Status
from scheduling.pauses import NONE, Pauses
from scheduling.policies import admission as policy
from scheduling.policies.admission import LevelLoad, Pace, PoolLoad, Verdict
from scheduling.statements import LOAD, WATCH
from scheduling.submission import JobSpec, Receipt

WINDOW_SECONDS = 15
HEADS = 1000
FRESH_SECONDS = 1.0
# An older look decides nothing: a door that was idle must not refuse by yesterday's queue.
OLD_SECONDS = 5.0
# Sooner looks while many join; and a look may use at most this share of the time.
SOON_SECONDS, LARGEST_SHARE = 0.2, 0.05
STANDING_SECONDS = 2.0
CAP_RETRY_SECONDS = 5.0
FLOWS_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """One level of one model, in the order of `sql/load.sql`'s columns.

    `tags` are its next fair tags; `oldest_seconds` is how long one of them has been queued;
    `clock` is the level's virtual time.
    """

    level: Priority
    model: str
    queued: int
    tags: tuple[float, ...]
    oldest_seconds: float
    processing: int
    finished: int
    service_seconds: float
    clock: float

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> ModelLoad:
        return cls(Priority(row[0]), row[1], row[2], tuple(row[3]), *row[4:9])


@dataclass(frozen=True, slots=True)
class Pool:
    """The models that share endpoints, with what waits for them."""

    models: frozenset[str]
    load: PoolLoad
    waiting: dict[Priority, list[ModelLoad]]

    @classmethod
    def of(cls, slots: int, models: frozenset[str], rows: Sequence[ModelLoad]) -> Pool:
        own = [row for row in rows if row.model in models]
        jobs = [(row.service_seconds, max(1, row.finished)) for row in own if row.service_seconds]
        # A pool that has ended nothing yet knows nothing, whatever others did.
        service = sum(s * n for s, n in jobs) / sum(n for _, n in jobs) if jobs else 0.0
        levels = []
        for level in Priority:
            at = [row for row in own if row.level == level]
            finished = sum(row.finished for row in at) / WINDOW_SECONDS
            levels.append(LevelLoad(sum(row.queued for row in at), finished))
        load = PoolLoad(
            levels=tuple(levels),
            slots=slots,
            processing=sum(row.processing for row in own),
            service_seconds=service,
            standing=any(row.queued and row.oldest_seconds >= STANDING_SECONDS for row in own),
        )
        waiting = {
            level: [row for row in own if row.level == level and row.queued] for level in Priority
        }
        return cls(models, load, waiting)

    def ahead(self, level: Priority, last_tag: float) -> tuple[int, bool]:
        """Jobs of a level before the next one of a flow, and whether that is all of them.

        Args:
            last_tag: of the flow's latest job. A flow whose last tag the clock has passed has
                nothing waiting: its next job starts at the clock (`sql/submit.sql`).
        """
        before = waiting = 0
        for row in self.waiting[level]:
            waiting += row.queued
            place = bisect_right(row.tags, max(row.clock, last_tag))
            before += row.queued if place == len(row.tags) else place
        return before, before == waiting


@dataclass(frozen=True)
class Load:
    """The whole queue at one moment; `waiting` jobs, held ones included, and their mean size."""

    models: tuple[ModelLoad, ...] = ()
    pools: tuple[Pool, ...] = ()
    waiting: int = 0
    mean_bytes: float = 0.0

    @classmethod
    def of_rows(
        cls, rows: Sequence[Sequence[Any]], endpoints: Iterable[Target], paused: frozenset[str]
    ) -> Load:
        """Rows of `sql/load.sql`; a paused level has nothing that others would wait for."""
        if not rows:
            return cls()
        loads = tuple(ModelLoad.of_row(row) for row in rows)
        moving = [
            replace(each, queued=0, tags=()) if each.level.queue in paused else each
            for each in loads
        ]
        groups = policy.pools_of(
            [(e.max_concurrent, e.model_names) for e in endpoints if e.takes_work]
        )
        pools = tuple(Pool.of(slots, models, moving) for slots, models in groups)
        held, mean_bytes = rows[0][9], rows[0][10]
        return cls(loads, pools, sum(each.queued for each in loads) + held, mean_bytes)

    def steadied(self, before: Load, seconds: float) -> Load:
        """With rates averaged over the last looks, where the pools are the same."""
        was = {pool.models: pool.load for pool in before.pools}
        pools = tuple(
            replace(pool, load=policy.steadied(pool.load, was[pool.models], seconds))
            if pool.models in was
            else pool
            for pool in self.pools
        )
        return replace(self, pools=pools)

    @cached_property
    def clocks(self) -> dict[Priority, float]:
        """Virtual time of the levels at which work waits."""
        return {each.level: each.clock for each in self.models if each.queued}

    def pool(self, model: str) -> Pool | None:
        return next((pool for pool in self.pools if model in pool.models), None)


def parameters(models: Iterable[str]) -> dict[str, Any]:
    """What `sql/load.sql` takes."""
    return {
        "window_seconds": WINDOW_SECONDS,
        "cap": load().scheduling.max_queued,
        "heads": HEADS,
        "models": sorted(models),
    }


def floors() -> list[float]:
    """Each level's floor, highest level first."""
    configured = load().scheduling.floors
    return [configured.get(level.queue, 0.0) for level in Priority]


def limit_seconds(level: Priority) -> float:
    """The longest wait at which a request of this level is admitted."""
    return load().scheduling.max_wait.get(level.queue, float("inf"))


class Admission:
    """A web process's look at the queue, and its decisions.

    Args:
        clock: seconds that only go forward; the machine's unless a simulation has its own.
    """

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        self._clock = clock or time.monotonic
        self.pauses: Pauses = NONE
        self.load = Load()
        self._read_at = float("-inf")
        self._cost_seconds = 0.0
        self._since: Counter[tuple[Priority, frozenset[str]]] = Counter()
        self._admitted = 0
        self._last_tags: dict[tuple[int, Priority], float] = {}
        self._paces: dict[Priority, Pace] = {}

    @property
    def age(self) -> float:
        return self._clock() - self._read_at

    @property
    def is_due(self) -> bool:
        """Whether it is time for another look: a second, or sooner while many join."""
        most = max((pool.load.slots for pool in self.load.pools), default=8)
        patience = SOON_SECONDS if self._admitted >= max(8, most) else FRESH_SECONDS
        return self.age >= patience and self.is_affordable

    @property
    def is_affordable(self) -> bool:
        """Whether another look now would keep to its share of the time."""
        return self.age >= self._cost_seconds / LARGEST_SHARE

    @property
    def _is_old(self) -> bool:
        return self.age > max(OLD_SECONDS, 2 * self._cost_seconds / LARGEST_SHARE)

    def learn(self, pauses: Pauses, load: Load, *, cost_seconds: float = 0.0) -> None:
        """Remember a look that took so long."""
        seconds, before = self.age, self.load
        self.pauses, self.load = pauses, load.steadied(before, seconds)
        self._paces = {
            level: self._paces.get(level, Pace()).after(clock - before.clocks[level], seconds)
            for level, clock in load.clocks.items()
            if level in before.clocks
        }
        self._read_at = self._clock()
        self._cost_seconds = cost_seconds
        self._since.clear()
        self._admitted = 0

    def check_intake(self) -> None:
        """
        Raises:
            Maintenance: intake is paused.
        """
        if self.pauses.intake:
            reason = self.pauses.reason(Pause.Kind.INTAKE)
            raise Maintenance(load().scheduling.maintenance_retry_seconds, reason)

    def check(self, specs: Sequence[JobSpec], *, batch: bool = False) -> None:
        """Let these jobs join, or say when to try again.

        Args:
            batch: exempt from the wait limit, not from the caps.

        Raises:
            Maintenance, QueueFull
        """
        self.check_intake()
        if self._is_old or not self.load.waiting:
            return
        self._check_caps(specs)
        if not batch:
            for spec in specs:
                self._check_wait(spec)

    def joined(self, specs: Sequence[JobSpec], receipts: Sequence[Receipt]) -> None:
        """These jobs have been stored: they stand before the next ones."""
        self._admitted += len(specs)
        if len(self._last_tags) > FLOWS_REMEMBERED:
            self._last_tags.clear()
        for spec, receipt in zip(specs, receipts, strict=True):
            self._last_tags[spec.flow_id, spec.level] = receipt.fair_tag
            if (
                receipt.status == Status.QUEUED
                and self.load.waiting
                and (pool := self.load.pool(spec.model))
            ):
                self._since[spec.level, pool.models] += 1

    def _check_caps(self, specs: Sequence[JobSpec]) -> None:
        config, joined = load().scheduling, self._admitted
        waiting = self.load.waiting + joined
        if waiting + len(specs) > config.max_queued:
            raise QueueFull(CAP_RETRY_SECONDS, "the queue is full: too many requests wait")
        bytes_waiting = waiting * self.load.mean_bytes
        if bytes_waiting + sum(len(spec.body) for spec in specs) > config.max_queued_bytes:
            raise QueueFull(CAP_RETRY_SECONDS, "the queue is full: too much text waits")

    def _check_wait(self, spec: JobSpec) -> None:
        verdict = self.verdict(spec)
        if not verdict.admitted:
            raise QueueFull(
                verdict.retry_after_seconds,
                f"a {spec.level.queue} request would wait about {verdict.wait_seconds:.0f} s",
            )

    def verdict(self, spec: JobSpec) -> Verdict:
        """How long a job would wait, and whether that is within its level's limit."""
        pool = self.load.pool(spec.model)
        # What is due later joins no queue now; what joins a paused level waits for an operator.
        if pool is None or spec.due_at is not None or self.pauses.stops(spec.level):
            return Verdict(True, 0.0)
        return policy.decide(
            pool.load,
            int(spec.level),
            ahead=self._ahead(pool, spec),
            limit_seconds=limit_seconds(spec.level),
            floors=floors(),
        )

    def _ahead(self, pool: Pool, spec: JobSpec) -> float:
        """Jobs before this one now: those seen, those joined since, less those started since.

        By its flow's last fair tag, so that a flood is refused and not those it would delay. Other
        flows will put more before that tag: how fast the level's clock has gone says how much.
        """
        last_tag = self._last_tags.get((spec.flow_id, spec.level), 0.0)
        ahead, is_last = pool.ahead(spec.level, last_tag)
        if is_last:
            ahead += self._since[spec.level, pool.models]
        rate = policy.level_rate(pool.load, int(spec.level), floors()) or 0.0
        distance = last_tag - self.load.clocks.get(spec.level, last_tag)
        pace = self._paces.get(spec.level, Pace())
        return max(0.0, max(ahead, rate * pace.seconds_to(distance)) - rate * self.age)


_here = Admission()


def here() -> Admission:
    """This process's look, as it is."""
    return _here


def lately() -> Admission:
    """This process's look, by Django's connection where it is a second old."""
    from django.db import connection

    if not _here.is_due:
        return _here
    began = time.monotonic()
    endpoints = known_endpoints()
    with connection.cursor() as cursor:
        cursor.execute(WATCH)
        pauses, waits = _watched(cursor.fetchone())
        rows: list[tuple[Any, ...]] = []
        if waits:
            cursor.execute(LOAD, parameters(_models(endpoints)))
            rows = cursor.fetchall()
    seen = Load.of_rows(rows, endpoints, pauses.levels)
    _here.learn(pauses, seen, cost_seconds=time.monotonic() - began)
    return _here


async def look(database: Database, endpoints: Sequence[Target]) -> None:
    """Look again, beside the requests: at the pauses always, at a long queue less often.

    Raises:
        psycopg.OperationalError: the server stayed away.
    """
    began = time.monotonic()
    watched = await read(database.relaxed, WATCH)
    pauses, waits = _watched(watched[0])
    if waits and not _here.is_affordable:
        _here.pauses = pauses
        return
    rows = await read(database.relaxed, LOAD, parameters(_models(endpoints))) if waits else []
    seen = Load.of_rows(rows, endpoints, pauses.levels)
    _here.learn(pauses, seen, cost_seconds=time.monotonic() - began)


def forget() -> None:
    """Look again before the next decision."""
    global _here
    _here = Admission()


def _watched(row: Any) -> tuple[Pauses, bool]:
    return Pauses.of_json(row[0]), bool(row[1])


def _models(endpoints: Iterable[Target]) -> set[str]:
    return {name for endpoint in endpoints for name in endpoint.model_names}
