"""The levels as people are shown them."""

from __future__ import annotations

from typing import Any

from scheduling.models import Priority
from scheduling.reports.level_summaries import (
    FRESH_SECONDS,
    WINDOW_SECONDS,
    LevelSummaries,
    LevelSummary,
)


def summary(level: Priority, **fields: Any) -> LevelSummary:
    values: dict[str, Any] = {
        "queued": 0,
        "held": 0,
        "processing": 0,
        "oldest_wait_seconds": 0.0,
        "finished": 0,
        "failed": 0,
        "average_wait_seconds": 0.0,
        "max_wait_seconds": 0.0,
    }
    return LevelSummary(level=level, **{**values, **fields})


def test_a_row_of_the_statement_becomes_a_summary() -> None:
    row = (2, 7, 1, 3, 4.0, 30, 2, 0.5, 1.5)

    seen = LevelSummary.of_row(row)

    assert seen.level is Priority.NORMAL
    assert (seen.queued, seen.held, seen.processing) == (7, 1, 3)
    assert (seen.oldest_wait_seconds, seen.finished, seen.failed) == (4.0, 30, 2)
    assert (seen.average_wait_seconds, seen.max_wait_seconds) == (0.5, 1.5)
    assert seen.finished_per_minute == 30 * 60 / WINDOW_SECONDS


def test_summaries_age() -> None:
    now = [1000.0]
    kept = LevelSummaries(clock=lambda: now[0])
    readings = [[summary(level, queued=count) for level in Priority] for count in (1, 2)]
    first, second = readings

    assert kept.current(lambda: first) is first
    now[0] += FRESH_SECONDS * 0.9
    assert kept.current(lambda: second) is first
    now[0] += FRESH_SECONDS * 0.2
    assert kept.current(lambda: second) is second
