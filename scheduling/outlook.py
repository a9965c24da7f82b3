"""What a waiting request is told: its position, and how long it will be.

One statement a second and process reads each level's next fair tags; positions are then looked
up in memory, so that ten thousand waiting clients cost no more than one.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from scheduling.admission import floors
from scheduling.models import Job, Priority, Status
from scheduling.policies.admission import LevelLoad, PoolLoad, wait_seconds
from scheduling.statements import OUTLOOK

WINDOW_SECONDS = 15
HEADS, COUNT_CAP = 1000, 100_000
FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """`position` 1 is next; 0 means that it does not wait. `wait_seconds` is an estimate."""

    position: int
    wait_seconds: float


@dataclass(frozen=True, slots=True)
class LevelSummary:
    """One level now, and over the last `WINDOW_SECONDS`.

    `tags` are its next fair tags; `service_seconds` is the mean of the latest jobs of all levels.
    """

    level: Priority
    queued: int
    held: int
    processing: int
    tags: tuple[float, ...]
    oldest_wait_seconds: float
    finished: int
    failed: int
    average_wait_seconds: float
    max_wait_seconds: float
    service_seconds: float

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> LevelSummary:
        """A row of `sql/outlook.sql`."""
        level, queued, held, processing, tags, *rest = row
        return cls(Priority(level), queued, held, processing, tuple(tags), *rest)

    @property
    def finished_per_minute(self) -> float:
        return self.finished * 60 / WINDOW_SECONDS


class Board:
    """All levels at one moment."""

    def __init__(self, levels: Sequence[LevelSummary]) -> None:
        self.levels = {summary.level: summary for summary in levels}
        self.read_at = time.monotonic()

    @classmethod
    def of_rows(cls, rows: Iterable[tuple[Any, ...]]) -> Board:
        return cls([LevelSummary.of_row(row) for row in rows])

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() - self.read_at < FRESH_SECONDS

    @property
    def queued(self) -> int:
        return sum(summary.queued for summary in self.levels.values())

    def of(self, level: Priority, fair_tag: float) -> Outlook:
        """The outlook of a queued job: by those before it and what better levels leave its own."""
        summary = self.levels[level]
        ahead = bisect_left(summary.tags, fair_tag)
        if ahead == len(summary.tags):
            ahead = max(ahead, summary.queued - 1)
        position = ahead + 1
        wait = wait_seconds(self._load(), int(level), ahead=position, floors=floors()) or 0.0
        return Outlook(position, round(wait, 2))

    def _load(self) -> PoolLoad:
        """The levels as admission sees a pool, so that both tell the same wait.

        Ten seconds a job before any has ended.
        """
        summaries = [self.levels[level] for level in Priority]
        service = max(summary.service_seconds for summary in summaries)
        return PoolLoad(
            levels=tuple(LevelLoad(s.queued, s.finished / WINDOW_SECONDS) for s in summaries),
            processing=sum(summary.processing for summary in summaries),
            service_seconds=max(service or 10.0, 0.001),
            standing=True,
        )


def parameters(models: Sequence[str]) -> dict[str, Any]:
    """What `sql/outlook.sql` takes."""
    return {
        "window_seconds": WINDOW_SECONDS,
        "cap": COUNT_CAP,
        "heads": HEADS,
        "models": list(models),
    }


_board: Board | None = None


def board() -> Board:
    """The levels as this process saw them within the last second, by Django's connection."""
    global _board
    from django.db import connection

    from balancing.registry import known_models

    if _board is None or not _board.is_fresh:
        with connection.cursor() as cursor:
            cursor.execute(OUTLOOK, parameters(known_models()))
            _board = Board.of_rows(cursor.fetchall())
    return _board


def level_summary() -> list[LevelSummary]:
    return list(board().levels.values())


def glance(job_ids: Iterable[UUID]) -> dict[UUID, Outlook]:
    """The outlook of each of these jobs; those that no longer wait stand at position 0."""
    ids = list(job_ids)
    if not ids:
        return {}
    waiting = Job.objects.filter(pk__in=ids, status=Status.QUEUED)
    looks = dict.fromkeys(ids, Outlook(0, 0.0))
    for identifier, level, fair_tag in waiting.values_list("id", "level", "fair_tag"):
        looks[identifier] = board().of(Priority(level), fair_tag)
    return looks
