"""One process's look at the queue, and what it decides by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from balancing.endpoints.registry import Target
from llmqueue_project.config import configuration
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Priority, Status
from scheduling.pauses import NONE, Pauses
from scheduling.specs import Receipt
from scheduling.waiting import admission
from scheduling.waiting.admission import FRESH_SECONDS, OLD_SECONDS, Admission, Outlook
from scheduling.waiting.load import Load
from tests.hot_path import MODEL, spec

SLOTS = 4


def endpoint(*models: str, slots: int = SLOTS, state: str = "enabled") -> Target:
    return Target(1, "one", "http://one/v1", frozenset(models or [MODEL]), "", 1.0, slots, state)


def row(level: Priority = Priority.NORMAL, queued: int = 0, **fields: Any) -> tuple[Any, ...]:
    """A row of `sql/load.sql`: all slots busy with calls of a second each."""
    values: dict[str, Any] = {
        "model": MODEL,
        "tags": [float(n) for n in range(min(queued, 1000))],
        "costs": None,
        "oldest": 10.0,
        "processing": SLOTS,
        "finished": 0.0,
        "arriving": 0.0,
        "service": 1.0,
        "service_cost": 10.0,
        "clock": 0.0,
        "held": 0,
        "bytes": 100.0,
        **fields,
    }
    values["costs"] = values["costs"] or [10.0] * len(values["tags"])
    model = values.pop("model")
    return (int(level), model, queued, *values.values())


def seeing(*rows: tuple[Any, ...], pauses: Pauses = NONE, endpoints: Any = None) -> Admission:
    made = Admission()
    made.learn(pauses, Load.of_rows(rows, endpoints or [endpoint()], pauses.levels))
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def job(**fields: Any) -> Any:
    return spec(1, **fields)


def stored(seen: Admission, *specs: Any, tag: float = 0.0) -> None:
    seen.joined(specs, [Receipt(each.id, Status.QUEUED, "", tag) for each in specs])


def test_before_the_first_look_everything_is_admitted() -> None:
    Admission().check([job()])


def test_an_empty_queue_admits_without_a_figure() -> None:
    seen = seeing()

    seen.check([job(level=Priority.REALTIME) for _ in range(1000)])


def flooded(**fields: Any) -> Admission:
    """Realtime work for 25 seconds, of one flow that this process has seen submit."""
    seen = seeing(row(Priority.REALTIME, 100, **fields))
    stored(seen, job(level=Priority.REALTIME), tag=500.0)
    return seen


def test_a_request_that_would_wait_too_long_is_refused_with_a_time(clock: list[float]) -> None:
    with pytest.raises(QueueFull) as refused:
        flooded().check([job(level=Priority.REALTIME)])

    # It starts as the 102nd, at 4 a second: 25.5 s, less the limit of 3 s.
    assert refused.value.retry_after_seconds == pytest.approx(22.5)
    assert "would wait about 26 s" in str(refused.value)


def test_a_flood_does_not_refuse_those_whom_fairness_would_serve(clock: list[float]) -> None:
    flooded().check([spec(2, level=Priority.REALTIME)])


def test_many_flows_with_one_job_each_wait_for_one_another(clock: list[float]) -> None:
    seen = seeing(row(Priority.REALTIME, 100, tags=[7.0] * 100, clock=7.0))

    with pytest.raises(QueueFull):
        seen.check([spec(2, level=Priority.REALTIME)])


def test_a_batch_is_exempt_from_the_wait_and_not_from_the_caps(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    seen, many = flooded(), [job(level=Priority.REALTIME) for _ in range(50)]

    seen.check(many, batch=True)
    config = configuration()
    small = config.scheduling.model_copy(update={"max_queued": 120})
    monkeypatch.setattr(
        admission, "configuration", lambda: config.model_copy(update={"scheduling": small})
    )

    with pytest.raises(QueueFull, match="too many requests"):
        seen.check(many, batch=True)


def test_held_rows_count_against_the_cap_and_so_do_bytes(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    config = configuration()

    def capped(**limits: int) -> None:
        small = config.scheduling.model_copy(update=limits)
        changed = config.model_copy(update={"scheduling": small})
        monkeypatch.setattr(admission, "configuration", lambda: changed)

    seen = seeing(row(held=30, bytes=1000.0))
    capped(max_queued=30)
    with pytest.raises(QueueFull, match="too many requests"):
        seen.check([job()])
    capped(max_queued_bytes=30_010)
    seen.check([job(body="x" * 10)])
    with pytest.raises(QueueFull, match="too much text"):
        seen.check([job(body="x" * 11)])


def test_a_paused_level_takes_more_and_holds_nobody_up(clock: list[float]) -> None:
    rows = row(Priority.REALTIME, 100), row(Priority.HIGH, 1)
    paused = Pauses({("level", "realtime"): ""})
    seen = seeing(*rows, pauses=paused)
    stored(seen, job(level=Priority.REALTIME), tag=500.0)

    seen.check([job(level=Priority.REALTIME)])

    (pool,) = seen.load.pools
    assert pool.load.levels[0].queued == 0
    assert pool.load.processing == 2 * SLOTS


def looked_at(**fields: Any) -> Admission:
    return seeing(row(queued=4, tags=[1.0, 5.0, 5.0, 9.0], **fields))


def test_a_waiting_job_is_told_its_place_in_fair_order_and_its_wait(clock: list[float]) -> None:
    seen = looked_at()

    told = [seen.outlook(Priority.NORMAL, MODEL, tag) for tag in (1.0, 5.0, 9.0)]

    assert told == [Outlook(1, 0.25), Outlook(2, 0.5), Outlook(4, 1.0)]


def test_larger_jobs_ahead_take_longer(clock: list[float]) -> None:
    seen = looked_at(costs=[40.0, 10.0, 10.0, 10.0])

    assert seen.outlook(Priority.NORMAL, MODEL, 5.0) == Outlook(2, 1.25)


def test_behind_the_known_tags_stand_all(clock: list[float]) -> None:
    seen = seeing(row(Priority.LOW, 5_000))

    told = seen.outlook(Priority.LOW, MODEL, 1e9)

    assert told == Outlook(5_001, 1250.25)


def test_the_estimate_goes_on_between_two_looks(clock: list[float]) -> None:
    seen = looked_at()
    stored(seen, job(), tag=20.0)

    assert seen.outlook(Priority.NORMAL, MODEL, 20.0) == Outlook(5, 1.25)
    assert seen.outlook(Priority.NORMAL, MODEL, 30.0) == Outlook(6, 1.5)
    clock[0] += 0.5
    assert seen.outlook(Priority.NORMAL, MODEL, 20.0) == Outlook(3, 0.75)


def test_with_a_free_slot_it_waits_for_nothing(clock: list[float]) -> None:
    seen = seeing(row(processing=1))
    for tag in (1.0, 2.0):
        stored(seen, job(), tag=tag)

    assert seen.outlook(Priority.NORMAL, MODEL, 2.0) == Outlook(2, 0.0)


def test_what_cannot_be_known_is_not_guessed(clock: list[float]) -> None:
    paused = seeing(row(queued=4), pauses=Pauses({("level", "normal"): ""}))

    assert seeing().outlook(Priority.NORMAL, "unserved", 1.0) is None
    assert looked_at(service=0.0).outlook(Priority.NORMAL, MODEL, 9.0) == Outlook(4, None)
    assert paused.outlook(Priority.NORMAL, MODEL, 3.0) == Outlook(4, None)
    seen = looked_at()
    clock[0] += OLD_SECONDS + 0.1
    assert seen.outlook(Priority.NORMAL, MODEL, 1.0) is None


def watched(clock: list[float], *, moved: float, seconds: int, **fields: Any) -> Admission:
    """Looks a second apart, between which the clock of normal goes on by as much."""
    seen, row_of = Admission(), {"arriving": 0.0, **fields}
    for number in range(seconds):
        virtual = moved * number
        tags = [virtual + n for n in (0.0, 10.0, 20.0, 30.0)]
        rows = [row(queued=4, tags=tags, clock=virtual, **row_of)]
        seen.learn(seen.pauses, Load.of_rows(rows, [endpoint()], frozenset()))
        clock[0] += 1.0
    clock[0] -= 1.0
    return seen


def test_what_others_will_put_before_a_tag_counts(clock: list[float]) -> None:
    seen = watched(clock, moved=10.0, seconds=20)
    virtual = 10.0 * 19

    told = seen.outlook(Priority.NORMAL, MODEL, virtual + 500.0)

    assert told == Outlook(5, 50.25), "50 s at the clock's pace, though four stand before"
    stored(seen, job(), tag=virtual + 2000.0)
    with pytest.raises(QueueFull):
        seen.check([job()])
    seen.check([spec(2)])


def test_a_clock_tells_nothing_at_first_nor_while_nothing_runs(clock: list[float]) -> None:
    just = watched(clock, moved=10.0, seconds=3)
    stopped = watched(clock, moved=0.0, seconds=20, processing=0)

    for seen, virtual in ((just, 20.0), (stopped, 0.0)):
        stored(seen, job(), tag=virtual + 2000.0)
        seen.check([job()])


def test_rates_are_averaged_over_looks_and_what_waits_is_not(clock: list[float]) -> None:
    seen = seeing(row(queued=4, arriving=8.0))
    clock[0] += 60.0
    seen.learn(NONE, Load.of_rows([row(queued=9)], [endpoint()], frozenset()))

    (pool,) = seen.load.pools
    level = pool.load.levels[int(Priority.NORMAL)]
    assert level.arriving_per_second == pytest.approx(8.0 / 2.71828, rel=1e-3)
    assert level.queued == 9


def test_what_is_due_later_joins_no_queue_now(clock: list[float]) -> None:
    flooded().check([job(level=Priority.REALTIME, due_at=datetime(2099, 1, 1, tzinfo=UTC))])


def test_another_pool_is_not_held_up(clock: list[float]) -> None:
    endpoints = [endpoint(MODEL), endpoint("other")]
    seen = seeing(
        row(Priority.REALTIME, 100), row(Priority.REALTIME, model="other"), endpoints=endpoints
    )
    stored(seen, job(level=Priority.REALTIME), tag=500.0)

    seen.check([job(level=Priority.REALTIME, model="other")])
    with pytest.raises(QueueFull):
        seen.check([job(level=Priority.REALTIME)])


def test_without_an_enabled_endpoint_nothing_is_estimated(clock: list[float]) -> None:
    drained = [endpoint(state="draining")]
    seen = seeing(row(Priority.REALTIME, 100), endpoints=drained)

    seen.check([job(level=Priority.REALTIME)])


def test_what_joined_since_the_look_stands_before_the_next(clock: list[float]) -> None:
    seen = seeing(row(Priority.REALTIME, 8, tags=[0.0] * 8))
    for _ in range(3):
        seen.check([job(level=Priority.REALTIME)])
        stored(seen, job(level=Priority.REALTIME), tag=9.0)

    seen.check([job(level=Priority.REALTIME)])
    stored(seen, job(level=Priority.REALTIME), tag=9.0)
    with pytest.raises(QueueFull):
        seen.check([job(level=Priority.REALTIME)])

    clock[0] += 0.5  # two have started
    seen.check([job(level=Priority.REALTIME)])


def test_an_old_look_refuses_nobody(clock: list[float]) -> None:
    seen = flooded()

    clock[0] += OLD_SECONDS + 0.1

    seen.check([job(level=Priority.REALTIME)])


def test_intake_paused_refuses_everything_whatever_the_age(clock: list[float]) -> None:
    seen = seeing(pauses=Pauses({("intake", ""): "new disks"}))

    clock[0] += 10 * OLD_SECONDS

    with pytest.raises(Maintenance, match="new disks") as refused:
        seen.check([job()], batch=True)
    assert refused.value.retry_after_seconds == 30.0


def test_the_next_look_is_due_by_time_sooner_by_use_and_later_by_cost(clock: list[float]) -> None:
    seen = seeing(row(queued=1))
    assert Admission().is_due
    assert not seen.is_due

    clock[0] += 0.3
    assert not seen.is_due
    stored(seen, *(job() for _ in range(8)))
    assert seen.is_due

    seen.learn(NONE, seen.load, cost_seconds=0.1)
    clock[0] += FRESH_SECONDS + 0.1
    assert not seen.is_due, "a look of 0.1 s every two seconds at the most"
    clock[0] += 1.0
    assert seen.is_due
