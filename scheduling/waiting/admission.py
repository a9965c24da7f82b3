"""Who may join the queue, and how long what joined will wait: one look at the queue for both.

A web process keeps that look, shared by its doors and refreshed beside the requests, once a second:
deciding and telling cost no round trip. While nothing waits or runs the look is one small
statement. What a look cannot know yet is counted here: requests admitted since.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from balancing.endpoints.registry import Target, known_endpoints
from llmqueue_project.config import configuration
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Pause, Priority, Status
from scheduling.pauses import NONE, Pauses
from scheduling.policies import admission as policy
from scheduling.policies import waiting
from scheduling.policies.admission import Verdict
from scheduling.policies.steady import Pace
from scheduling.specs import JobSpec, Receipt
from scheduling.statements import LOAD, WATCH
from scheduling.tickets.policy import assures_floors
from scheduling.waiting import caps as level_caps
from scheduling.waiting.load import Load, Pool, parameters
from stores.postgres import Database, read

FRESH_SECONDS = 1.0
# An older look decides nothing: a door that was idle must not refuse by yesterday's queue.
OLD_SECONDS = 5.0
# Sooner looks while many join; and a look may use at most this share of the time.
SOON_SECONDS, LARGEST_SHARE = 0.2, 0.05
CAP_RETRY_SECONDS = 5.0
FLOWS_REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a waiting job is told.

    `position` 1 is next; 0 means that it does not wait. `wait_seconds` is an estimate, None while
    there is nothing to estimate by: nothing has ended yet, or the level is paused.
    """

    position: int
    wait_seconds: float | None


def floors() -> list[float]:
    """Each level's floor, highest level first; none under a policy that keeps no floors."""
    if not assures_floors():
        return [0.0] * len(Priority)
    configured = configuration().scheduling.floors
    return [configured.get(level.queue, 0.0) for level in Priority]


def caps() -> list[int]:
    """Each level's own limit of slots, highest level first; 0 is none."""
    own = level_caps.limits()
    return [own.get(level.queue, 0) for level in Priority]


def limit_seconds(level: Priority) -> float:
    """The longest wait at which a request of this level is admitted."""
    return configuration().scheduling.max_wait.get(level.queue, float("inf"))


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
        self._since: dict[tuple[Priority, frozenset[str]], list[float]] = {}
        self._admitted = 0
        self._last_tags: dict[tuple[int, Priority], float] = {}
        self._clocks: dict[Priority, float] = {}
        self._paces: dict[Priority, Pace] = {}

    @property
    def age(self) -> float:
        return self._clock() - self._read_at

    @property
    def is_due(self) -> bool:
        """Whether it is time for another look: a second, or sooner while many join."""
        most = max((pool.load.slots for pool in self.load.pools), default=8)
        many = self.load.waiting > 0 and self._admitted >= max(8, most)
        patience = SOON_SECONDS if many else FRESH_SECONDS
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
        seconds, clocks = self.age, load.clocks()
        self._paces = {
            level: self._paces.get(level, Pace()).after(clock - self._clocks[level], seconds)
            for level, clock in clocks.items()
            if level in self._clocks and not pauses.stops(level)
        }
        self.pauses, self.load, self._clocks = pauses, load.steadied(self.load, seconds), clocks
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
            reason = self.pauses.reason(Pause.Scope.INTAKE)
            raise Maintenance(configuration().scheduling.maintenance_retry_seconds, reason)

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
            queued = receipt.status == Status.QUEUED
            if queued and (pool := self.load.pool(spec.model)):
                insort(self._since.setdefault((spec.level, pool.models), []), receipt.fair_tag)

    def outlook(self, level: Priority, model: str, fair_tag: float) -> Outlook | None:
        """Place and wait of a queued job; None when no endpoint serves it or the look is old."""
        pool = self.load.pool(model)
        if pool is None or self._is_old:
            return None
        jobs, work = pool.before(level, fair_tag)
        since = bisect_left(self._joined_since(level, pool), fair_tag)
        started = (waiting.level_rate(pool.load, int(level), floors()) or 0.0) * self.age
        position = max(1, round(jobs + since - started) + 1)
        if self.pauses.stops(level):
            return Outlook(position, None)
        work = max(work + since, self._work_until(pool, level, fair_tag))
        wait = waiting.wait_seconds(pool.load, int(level), ahead=work, floors=floors())
        return Outlook(position, None if wait is None else round(max(0.0, wait - self.age), 2))

    def _joined_since(self, level: Priority, pool: Pool) -> list[float]:
        """The fair tags of jobs that this process stored since the look."""
        return self._since.get((level, pool.models), [])

    def _check_caps(self, specs: Sequence[JobSpec]) -> None:
        config, joined = configuration().scheduling, self._admitted
        queued = self.load.waiting + joined
        if queued + len(specs) > config.max_queued:
            raise QueueFull(CAP_RETRY_SECONDS, "the queue is full: too many requests wait")
        bytes_waiting = queued * self.load.mean_bytes
        if bytes_waiting + sum(len(spec.body) for spec in specs) > config.max_queued_bytes:
            raise QueueFull(CAP_RETRY_SECONDS, "the queue is full: too much text waits")

    def _check_wait(self, spec: JobSpec) -> None:
        verdict = self.verdict(spec)
        if not verdict.admitted:
            told = f"a {spec.level.queue} request would wait about {verdict.wait_seconds:.0f} s"
            if verdict.wait_seconds <= (limit := limit_seconds(spec.level)):
                told += f", and might wait longer than {limit:.0f} s"
            raise QueueFull(verdict.retry_after_seconds, told)

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
        """Work before this one now: that seen, that joined since, less that started since.

        By its flow's last fair tag, so that a flood is refused and not those it would delay. Other
        flows will put more before that tag.
        """
        last_tag = self._last_tags.get((spec.flow_id, spec.level), 0.0)
        _, work = pool.ahead(spec.level, last_tag)
        tag = max([last_tag, *(line.clock for line in pool.lines[spec.level])])
        since = bisect_right(self._joined_since(spec.level, pool), tag)
        rate = waiting.level_rate(pool.load, int(spec.level), floors()) or 0.0
        work = max(work + since, self._work_until(pool, spec.level, last_tag))
        return max(0.0, work - rate * self.age)

    def _work_until(self, pool: Pool, level: Priority, tag: float) -> float:
        """What the level starts until its clock gets to a tag, at its pace; 0 if not known."""
        pace = self._paces.get(level)
        if pace is None:
            return 0.0
        rate = waiting.level_rate(pool.load, int(level), floors()) or 0.0
        return rate * pace.seconds_to(tag - self._clocks[level])


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
        pauses, busy = _watched(cursor.fetchone())
        rows: list[tuple[Any, ...]] = []
        if busy:
            cursor.execute(LOAD, parameters(_models(endpoints)))
            rows = cursor.fetchall()
    seen = Load.of_rows(rows, endpoints, pauses.levels, caps())
    _here.learn(pauses, seen, cost_seconds=time.monotonic() - began)
    return _here


async def look(database: Database, endpoints: Sequence[Target]) -> None:
    """Look again, beside the requests: at the pauses always, at a long queue less often.

    Raises:
        psycopg.OperationalError: the server stayed away.
    """
    began = time.monotonic()
    watched = await read(database.relaxed, WATCH)
    pauses, busy = _watched(watched[0])
    if busy and not _here.is_affordable:
        _here.pauses = pauses
        return
    rows = await read(database.relaxed, LOAD, parameters(_models(endpoints))) if busy else []
    seen = Load.of_rows(rows, endpoints, pauses.levels, caps())
    _here.learn(pauses, seen, cost_seconds=time.monotonic() - began)


def forget() -> None:
    """Look again before the next decision."""
    global _here
    _here = Admission()


def _watched(row: Any) -> tuple[Pauses, bool]:
    return Pauses.of_json(row[0]), bool(row[1])


def _models(endpoints: Iterable[Target]) -> set[str]:
    return {name for endpoint in endpoints for name in endpoint.model_names}
