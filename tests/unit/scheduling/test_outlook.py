"""Positions and waits from one look at the levels."""

from __future__ import annotations

from typing import Any

import pytest

from scheduling.models import Priority
from scheduling.outlook import FRESH_SECONDS, WINDOW_SECONDS, Board, LevelSummary, Outlook


def summary(level: Priority, **fields: Any) -> LevelSummary:
    values: dict[str, Any] = {
        "queued": 0,
        "held": 0,
        "processing": 0,
        "tags": (),
        "oldest_wait_seconds": 0.0,
        "finished": 0,
        "failed": 0,
        "average_wait_seconds": 0.0,
        "max_wait_seconds": 0.0,
        "service_seconds": 0.0,
    }
    return LevelSummary(level=level, **{**values, **fields})


def board(**levels: dict[str, Any]) -> Board:
    return Board([summary(level, **levels.get(level.queue, {})) for level in Priority])


def test_the_position_counts_lower_tags() -> None:
    seen = board(normal={"queued": 4, "tags": (1.0, 5.0, 5.0, 9.0)})

    positions = [seen.of(Priority.NORMAL, tag).position for tag in (0.5, 1.0, 5.0, 9.0)]

    assert positions == [1, 1, 2, 4]


def test_behind_the_known_tags_it_is_last() -> None:
    seen = board(low={"queued": 5_000, "tags": tuple(map(float, range(1000)))})

    assert seen.of(Priority.LOW, 10_000.0).position == 5_000


def test_a_job_newer_than_the_look_stands_behind_all() -> None:
    seen = board(low={"queued": 2, "tags": (1.0, 2.0)})

    assert seen.of(Priority.LOW, 3.0).position == 3


def test_the_wait_counts_what_better_levels_have_and_take() -> None:
    ended = {"finished": 4 * WINDOW_SECONDS}
    alone = board(normal={"queued": 6, "tags": (1.0,) * 6, **ended})
    beside = board(realtime={"queued": 2, **ended}, normal={"queued": 6, **ended})

    assert alone.of(Priority.NORMAL, 2.0) == Outlook(position=7, wait_seconds=1.75)
    # 8 a second, of which realtime takes 4, and 2 of realtime stand before.
    assert beside.of(Priority.NORMAL, 2.0).wait_seconds == round(2 / 8 + 6 / 4, 2)


def test_a_level_that_better_ones_pass_over_waits_for_its_floor() -> None:
    seen = board(
        realtime={"queued": 500, "finished": 10 * WINDOW_SECONDS},
        low={"queued": 200, "tags": tuple(map(float, range(200)))},
    )

    assert seen.of(Priority.LOW, 99.0).wait_seconds == 100.0, "a tenth of ten a second"


def test_before_anything_ended_a_job_is_taken_to_last_ten_seconds() -> None:
    seen = board(normal={"queued": 1, "processing": 5, "tags": (1.0,)})

    assert seen.of(Priority.NORMAL, 1.0).wait_seconds == 2.0
    assert board().of(Priority.NORMAL, 1.0).wait_seconds == 10.0


def test_after_a_pause_what_runs_tells_the_rate() -> None:
    seen = board(normal={"processing": 8, "finished": 1, "service_seconds": 2.0})

    assert seen.of(Priority.NORMAL, 1.0).wait_seconds == 0.25


def test_a_row_of_the_statement_becomes_a_summary() -> None:
    row = (2, 7, 1, 3, [1.5, 2.5], 4.0, 30, 2, 0.5, 1.5, 0.8)

    seen = Board.of_rows([row]).levels[Priority.NORMAL]

    assert (seen.queued, seen.held, seen.processing, seen.tags) == (7, 1, 3, (1.5, 2.5))
    assert (seen.oldest_wait_seconds, seen.finished, seen.failed) == (4.0, 30, 2)
    assert (seen.max_wait_seconds, seen.service_seconds) == (1.5, 0.8)
    assert seen.finished_per_minute == 30 * 60 / WINDOW_SECONDS


def test_a_board_ages(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = board()
    read_at = seen.read_at

    monkeypatch.setattr("time.monotonic", lambda: read_at + FRESH_SECONDS * 0.9)
    assert seen.is_fresh
    monkeypatch.setattr("time.monotonic", lambda: read_at + FRESH_SECONDS * 1.1)
    assert not seen.is_fresh
