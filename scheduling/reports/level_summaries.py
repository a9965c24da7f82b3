"""How do the levels stand? For people and for metrics, one statement a second and process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from balancing.endpoints.registry import known_models
from scheduling.models import Priority
from scheduling.statements import LEVEL_SUMMARIES
from stores.memory import Aged, remembered

WINDOW_SECONDS = 15
HEADS, COUNT_CAP = 1000, 100_000
FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LevelSummary:
    """One level now, and over the last `WINDOW_SECONDS`."""

    level: Priority
    queued: int
    held: int
    processing: int
    oldest_wait_seconds: float
    finished: int
    failed: int
    average_wait_seconds: float
    max_wait_seconds: float

    @classmethod
    def of_row(cls, row: tuple[Any, ...]) -> LevelSummary:
        """A row of `sql/level_summaries.sql`."""
        return cls(Priority(row[0]), *row[1:])

    @property
    def finished_per_minute(self) -> float:
        return self.finished * 60 / WINDOW_SECONDS


class LevelSummaries(Aged[list[LevelSummary]]):
    """All levels, highest first, as a process last read them.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(FRESH_SECONDS, clock=clock)


def level_summary() -> list[LevelSummary]:
    """Every level within the last second, highest first, by Django's connection."""
    return remembered(LevelSummaries).current(_read)


def _read() -> list[LevelSummary]:
    with connection.cursor() as cursor:
        cursor.execute(LEVEL_SUMMARIES, parameters(known_models()))
        return [LevelSummary.of_row(row) for row in cursor.fetchall()]


def parameters(models: Sequence[str]) -> dict[str, Any]:
    """What `sql/level_summaries.sql` takes."""
    return {
        "window_seconds": WINDOW_SECONDS,
        "cap": COUNT_CAP,
        "heads": HEADS,
        "models": list(models),
    }
