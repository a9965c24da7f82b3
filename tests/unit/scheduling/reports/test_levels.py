"""The levels as people are shown them."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.models import Priority
from scheduling.reports.levels import FRESH_SECONDS, WINDOW_SECONDS, Board, LevelSummary


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


def board(**levels: dict[str, Any]) -> Board:
    return Board([summary(level, **levels.get(level.queue, {})) for level in Priority])


def test_a_row_of_the_statement_becomes_a_summary() -> None:
    row = (2, 7, 1, 3, 4.0, 30, 2, 0.5, 1.5)

    seen = Board.of_rows([row]).levels[Priority.NORMAL]

    assert (seen.queued, seen.held, seen.processing) == (7, 1, 3)
    assert (seen.oldest_wait_seconds, seen.finished, seen.failed) == (4.0, 30, 2)
    assert (seen.average_wait_seconds, seen.max_wait_seconds) == (0.5, 1.5)
    assert seen.finished_per_minute == 30 * 60 / WINDOW_SECONDS


def test_a_board_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = board()
    read_at = seen.read_at

    monkeypatch.setattr("time.monotonic", lambda: read_at + FRESH_SECONDS * 0.9)
    assert seen.is_fresh
    monkeypatch.setattr("time.monotonic", lambda: read_at + FRESH_SECONDS * 1.1)
    assert not seen.is_fresh
