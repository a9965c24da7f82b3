"""Why what waits does wait, in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from scheduling.models import Held, Priority
from scheduling.reports.reasons import reasons_of


@dataclass(frozen=True)
class Level:
    queued: int = 0
    held: Mapping[str, int] = field(default_factory=dict)
    processing: int = 0
    paused: bool = False
    cap: int | None = None
    level: Priority = Priority.LOW


@pytest.mark.parametrize(
    ("level", "free", "reason"),
    [
        pytest.param(Level(3, paused=True), 2, "the level is paused", id="paused"),
        pytest.param(
            Level(3, processing=2, cap=2), 2, "the level holds the 2 slots that it may", id="cap"
        ),
        pytest.param(Level(3, processing=1, cap=2), 0, "every slot is in use", id="full"),
        pytest.param(
            Level(3),
            2,
            "2 slots are free: for other models, or a worker for this level is missing",
            id="free",
        ),
    ],
)
def test_the_first_reason_that_holds_is_given(level: Level, free: int, reason: str) -> None:
    assert reasons_of(level, {}, free) == [f"low: 3 wait: {reason}"]


def test_what_nobody_serves_and_what_is_held_have_reasons_of_their_own() -> None:
    level = Level(5, held={Held.DUE: 2, Held.BACKLOG: 7})

    found = reasons_of(level, {"lost": 5}, free=1)

    assert found == [
        "low: 5 wait for lost, which no enabled endpoint serves",
        "low: 2 held: due later",
        "low: 7 held: batch backlog",
    ]


def test_a_level_without_work_needs_no_reason() -> None:
    assert reasons_of(Level(), {}, free=0) == []
