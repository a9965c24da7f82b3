"""How the levels stand, for people who look: one statement a second and process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scheduling.models import Priority
from scheduling.statements import OUTLOOK

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
        """A row of `sql/outlook.sql`."""
        return cls(Priority(row[0]), *row[1:])

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

    from balancing.endpoints.registry import known_models

    if _board is None or not _board.is_fresh:
        with connection.cursor() as cursor:
            cursor.execute(OUTLOOK, parameters(known_models()))
            _board = Board.of_rows(cursor.fetchall())
    return _board


def level_summary() -> list[LevelSummary]:
    return list(board().levels.values())
