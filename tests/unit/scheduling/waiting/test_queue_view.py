"""What a process knows of the queue between two readings."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from scheduling.errors import QueueFull
from scheduling.models import Priority
from scheduling.pauses import NONE
from scheduling.waiting.admission import Admission
from scheduling.waiting.outlook import Outlook
from scheduling.waiting.queue_view import FRESH_SECONDS
from tests.hot_path import MODEL, spec
from tests.unit.scheduling.waiting.seeing import (
    Clock,
    endpoint,
    job,
    load,
    row,
    seeing,
    stored,
    watched,
)


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

    told = seen.outlook(Priority.NORMAL, MODEL, virtual + 500.0, uuid4())

    assert told is not None
    assert told.position == 5
    assert told.wait_seconds == pytest.approx(4 ** (1 / 3) * 200 ** (2 / 3) / 4 + 0.25, rel=0.01), (
        "50 s at the clock's pace, though four stand before: something between"
    )
    stored(seen, job(), tag=virtual + 2000.0)
    with pytest.raises(QueueFull):
        seen.check([job()])
    seen.check([spec(2)])


def joined(seen: Admission, *tags: float) -> list[UUID]:
    """Jobs that are stored after the view was read, in the order of their ids."""
    jobs = [job() for _ in tags]
    for each, tag in zip(jobs, tags, strict=True):
        stored(seen, each, tag=tag)
    return sorted(each.id for each in jobs)


def positions(seen: Admission, ids: list[UUID], tag: float = 0.0) -> list[int]:
    told = [seen.outlook(Priority.NORMAL, MODEL, tag, each) for each in ids]
    return [each.position for each in told if each is not None]


def test_what_joined_while_the_queue_was_read_is_counted_once(clock: Clock) -> None:
    """The reading began 0.5 s ago. It saw the first of two, which joined after that."""
    seen = seeing(row(), clock=clock)
    clock.go_on(1.0)
    (first,), (second,) = joined(seen, 1.0), joined(seen, 2.0)
    clock.go_on(0.2)

    known = load(row(queued=1, tags=[1.0], ids=[str(first)]))
    seen.queue.update(NONE, known, cost_seconds=0.5)

    assert positions(seen, [first], 1.0) == [1]
    assert positions(seen, [second], 2.0) == [2]
    assert seen.queue.waiting == 2


def test_jobs_of_five_tenants_that_come_at_once_have_five_positions(clock: Clock) -> None:
    """All of their tags are the level's clock; all slots are busy."""
    seen = seeing(row(), clock=clock)

    assert positions(seen, joined(seen, *[0.0] * 5)) == [1, 2, 3, 4, 5]
    clock.go_on(0.9)
    assert positions(seen, joined(seen, 1.0), 1.0) == [6], "no position falls by the mere time"


def test_those_for_whom_slots_were_free_are_no_longer_counted(clock: Clock) -> None:
    """Nine come at once to four free slots: four start, and five wait."""
    seen = seeing(row(processing=0), clock=clock)

    assert positions(seen, joined(seen, *[0.0] * 9)) == [1, 1, 1, 1, 1, 2, 3, 4, 5]


def test_higher_levels_take_free_slots_first_and_are_waited_for(clock: Clock) -> None:
    rows = row(Priority.REALTIME, processing=0), row(Priority.NORMAL, processing=0)
    seen = seeing(*rows, clock=clock)
    stored(seen, *(job(level=Priority.REALTIME) for _ in range(4)))

    (first,) = joined(seen, 0.0)

    told = seen.outlook(Priority.NORMAL, MODEL, 0.0, first)
    assert told is not None
    assert told.position == 1
    assert told.wait_seconds == pytest.approx(1.0), "the four of realtime run a second each"


def test_lower_levels_that_came_earlier_have_the_free_slots(clock: Clock) -> None:
    rows = row(Priority.NORMAL, processing=0), row(Priority.LOW, processing=0)
    seen = seeing(*rows, clock=clock)
    low = [job(level=Priority.LOW, id=UUID(int=number)) for number in range(4)]
    later = job(level=Priority.LOW, id=UUID(int=2**128 - 1))
    stored(seen, *low, later)

    (first,) = joined(seen, 0.0)

    told = seen.outlook(Priority.NORMAL, MODEL, 0.0, first)
    assert told is not None
    assert told.position == 1
    assert told.wait_seconds == pytest.approx(1.0), "the four that came before run a second each"


def test_a_level_at_its_own_limit_finds_no_free_slot() -> None:
    endpoints = [endpoint(slots=8)]
    rows = row(Priority.LOW, processing=2)
    seen = seeing(rows, endpoints=endpoints)
    assert seen.outlook(Priority.LOW, MODEL, 1.0, uuid4()) == Outlook(1, 0.0)

    seen.queue.update(NONE, load(rows, endpoints=endpoints, most_running=(0, 0, 0, 2)))

    told = seen.outlook(Priority.LOW, MODEL, 1.0, uuid4())
    assert told is not None
    assert told.wait_seconds == pytest.approx(0.5), "one of two ends each half second"


def test_an_idle_queue_does_not_forget_how_long_jobs_take(clock: Clock) -> None:
    seen = seeing(row(), clock=clock)
    known = seen.queue.load.services

    seen.queue.update(NONE, load(known=known))
    ids = joined(seen, *[0.0] * 5)

    last = seen.outlook(Priority.NORMAL, MODEL, 0.0, ids[-1])
    assert last is not None
    assert last.wait_seconds == pytest.approx(1.0)
