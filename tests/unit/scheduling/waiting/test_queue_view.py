"""What a process knows of the queue between two readings."""

from __future__ import annotations

import pytest

from scheduling.errors import QueueFull
from scheduling.models import Priority
from scheduling.pauses import NONE
from scheduling.waiting.admission import Admission
from scheduling.waiting.outlook import Outlook
from scheduling.waiting.queue_view import FRESH_SECONDS
from tests.hot_path import MODEL, spec
from tests.unit.scheduling.waiting.seeing import Clock, job, load, row, seeing, stored, watched


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_rates_are_averaged_over_looks_and_what_waits_is_not(clock: Clock) -> None:
    seen = seeing(row(queued=4, arriving=8.0), clock=clock)
    clock.go_on(60.0)
    seen.queue.update(NONE, load(row(queued=9)))

    (models,) = seen.queue.load.model_sets
    level = models.load.levels[int(Priority.NORMAL)]
    assert level.arriving_per_second == pytest.approx(8.0 / 2.71828, rel=1e-3)
    assert level.queued == 9


def test_the_next_look_is_due_by_time_sooner_by_use_and_later_by_cost(clock: Clock) -> None:
    seen = seeing(row(queued=1), clock=clock)
    assert Admission().is_due
    assert not seen.is_due

    clock.go_on(0.3)
    assert not seen.is_due
    stored(seen, *(job() for _ in range(8)))
    assert seen.is_due

    seen.queue.update(NONE, seen.queue.load, cost_seconds=0.1)
    clock.go_on(FRESH_SECONDS + 0.1)
    assert not seen.is_due, "a look of 0.1 s every two seconds at the most"
    clock.go_on(1.0)
    assert seen.is_due


def test_a_clock_tells_nothing_at_first_nor_while_nothing_runs(clock: Clock) -> None:
    just = watched(clock, moved=10.0, seconds=3)
    stopped = watched(clock, moved=0.0, seconds=20, processing=0)

    for seen, virtual in ((just, 20.0), (stopped, 0.0)):
        stored(seen, job(), tag=virtual + 2000.0)
        seen.check([job()])


def test_what_others_will_put_before_a_tag_counts(clock: Clock) -> None:
    seen = watched(clock, moved=10.0, seconds=20)
    virtual = 10.0 * 19

    told = seen.outlook(Priority.NORMAL, MODEL, virtual + 500.0)

    assert told == Outlook(5, 50.25), "50 s at the clock's pace, though four stand before"
    stored(seen, job(), tag=virtual + 2000.0)
    with pytest.raises(QueueFull):
        seen.check([job()])
    seen.check([spec(2)])
