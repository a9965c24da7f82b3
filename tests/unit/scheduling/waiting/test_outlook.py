"""What a waiting job is told."""

from __future__ import annotations

import pytest

from scheduling.models import Priority
from scheduling.pauses import Pauses
from scheduling.waiting.outlook import Outlook
from scheduling.waiting.queue_view import OLD_SECONDS
from tests.hot_path import MODEL
from tests.unit.scheduling.waiting.seeing import Clock, job, looked_at, row, seeing, stored


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_waiting_job_is_told_its_place_in_fair_order_and_its_wait() -> None:
    seen = looked_at()

    told = [seen.outlook(Priority.NORMAL, MODEL, tag) for tag in (1.0, 5.0, 9.0)]

    assert told == [Outlook(1, 0.25), Outlook(2, 0.5), Outlook(4, 1.0)]


def test_larger_jobs_ahead_take_longer() -> None:
    seen = looked_at(costs=[40.0, 10.0, 10.0, 10.0])

    assert seen.outlook(Priority.NORMAL, MODEL, 5.0) == Outlook(2, 1.25)


def test_behind_the_known_tags_stand_all() -> None:
    seen = seeing(row(Priority.LOW, 5_000))

    told = seen.outlook(Priority.LOW, MODEL, 1e9)

    assert told == Outlook(5_001, 1250.25)


def test_the_estimate_goes_on_between_two_looks(clock: Clock) -> None:
    seen = looked_at(clock)
    stored(seen, job(), tag=20.0)

    assert seen.outlook(Priority.NORMAL, MODEL, 20.0) == Outlook(5, 1.25)
    assert seen.outlook(Priority.NORMAL, MODEL, 30.0) == Outlook(6, 1.5)
    clock.go_on(0.5)
    assert seen.outlook(Priority.NORMAL, MODEL, 20.0) == Outlook(3, 0.75)


def test_with_a_free_slot_it_waits_for_nothing() -> None:
    seen = seeing(row(processing=1))
    for tag in (1.0, 2.0):
        stored(seen, job(), tag=tag)

    assert seen.outlook(Priority.NORMAL, MODEL, 2.0) == Outlook(2, 0.0)


def test_what_cannot_be_known_is_not_guessed(clock: Clock) -> None:
    paused = seeing(row(queued=4), pauses=Pauses({("level", "normal"): ""}))

    assert seeing().outlook(Priority.NORMAL, "unserved", 1.0) is None
    assert looked_at(clock, service=0.0).outlook(Priority.NORMAL, MODEL, 9.0) == Outlook(4, None)
    assert paused.outlook(Priority.NORMAL, MODEL, 3.0) == Outlook(4, None)
    seen = looked_at(clock)
    clock.go_on(OLD_SECONDS + 0.1)
    assert seen.outlook(Priority.NORMAL, MODEL, 1.0) is None
