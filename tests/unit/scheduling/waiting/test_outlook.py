"""What a waiting job is told."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from scheduling.models import Priority
from scheduling.pauses import Pauses
from scheduling.waiting.admission import Admission
from scheduling.waiting.outlook import Outlook
from scheduling.waiting.queue_view import OLD_SECONDS
from tests.hot_path import MODEL
from tests.unit.scheduling.waiting.seeing import (
    Clock,
    endpoint,
    job,
    looked_at,
    row,
    seeing,
    stored,
)

# An id before all others, and one behind them.
ANY, NEXT = UUID(int=0), UUID(int=2**128 - 1)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def told(seen: Admission, tag: float, job_id: UUID = ANY, **fields: Any) -> Outlook | None:
    values = {"level": Priority.NORMAL, "model": MODEL, **fields}
    return seen.outlook(**values, fair_tag=tag, job_id=job_id)


def test_a_waiting_job_is_told_its_place_in_fair_order_and_its_wait() -> None:
    """The second and third have the same tag; the slots free each quarter of a second."""
    seen = looked_at()

    found = [told(seen, tag, UUID(int=place)) for place, tag in enumerate((1.0, 5.0, 5.0, 9.0))]

    assert found == [Outlook(1, 0.25), Outlook(2, 0.5), Outlook(3, 0.75), Outlook(4, 1.0)]


def test_five_behind_four_busy_slots_wait_for_what_is_left() -> None:
    """They were told position 1 and no wait. Four began a second ago, of jobs of eight."""
    seen = seeing(row(queued=5, tags=[0.0] * 5, service=8.0, ages=[1.0] * 4))

    found = [told(seen, 0.0, UUID(int=place)) for place in range(5)]

    assert found == [*(Outlook(place, 7.0) for place in (1, 2, 3, 4)), Outlook(5, 15.0)]


def test_behind_longer_jobs_it_takes_longer() -> None:
    """The one ahead is of a model whose jobs take 16 s, and both slots free soon."""
    short = row(queued=1, tags=[2.0], service=1.0, processing=1, ages=[0.5])
    long = row(queued=1, tags=[1.0], service=16.0, model="b", processing=0, ids=["0"])
    seen = seeing(short, long, endpoints=[endpoint(MODEL, "b", slots=1)])

    behind = told(seen, 2.0, UUID(int=0))

    assert behind is not None
    assert behind.position == 2
    assert behind.wait_seconds == pytest.approx(16.5)


def test_behind_the_known_tags_stand_all() -> None:
    seen = seeing(row(Priority.LOW, 5_000))

    found = told(seen, 1e9, level=Priority.LOW)

    assert found is not None
    assert found.position == 5_001
    assert found.wait_seconds == pytest.approx(1250.25)


def test_the_wait_goes_on_between_two_looks_and_the_place_does_not(clock: Clock) -> None:
    seen = looked_at(clock)
    stored(seen, job(), tag=20.0)

    assert told(seen, 20.0) == Outlook(5, 1.25)
    assert told(seen, 30.0, NEXT) == Outlook(6, 1.5)
    clock.go_on(0.5)
    assert told(seen, 30.0, NEXT) == Outlook(6, 1.0)
    clock.go_on(1.5)
    assert told(seen, 30.0, NEXT) == Outlook(6, 0.38), "who still waits does not wait for nothing"


def test_with_a_free_slot_it_waits_for_nothing() -> None:
    seen = seeing(row(processing=1))
    for tag in (1.0, 2.0):
        stored(seen, job(), tag=tag)

    assert told(seen, 2.0) == Outlook(1, 0.0)


def test_what_cannot_be_known_is_not_guessed(clock: Clock) -> None:
    paused = seeing(row(queued=4), pauses=Pauses({("level", "normal"): ""}))

    assert told(seeing(), 1.0, model="unserved") is None
    assert told(looked_at(clock, service=0.0), 9.0, UUID(int=3)) == Outlook(4, None)
    assert told(paused, 3.0, UUID(int=3)) == Outlook(4, None, is_paused=True)
    seen = looked_at(clock)
    clock.go_on(OLD_SECONDS + 0.1)
    assert told(seen, 1.0) is None


def test_in_an_outage_of_valkey_the_wait_is_unknown_and_the_place_is_told() -> None:
    seen = looked_at()
    seen.queue.stand_still()

    assert told(seen, 6.0) == Outlook(4, None)
