"""Who may join the queue, and who is refused with which words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from llmqueue_project.config import configuration
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Priority
from scheduling.pauses import NONE, Pauses
from scheduling.waiting import admission
from scheduling.waiting.admission import Admission
from scheduling.waiting.queue_view import OLD_SECONDS, SETTLING_SECONDS
from tests.hot_path import MODEL, spec
from tests.unit.scheduling.waiting.seeing import (
    SLOTS,
    Clock,
    endpoint,
    flooded,
    job,
    row,
    seeing,
    stored,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_before_the_first_look_everything_is_admitted() -> None:
    Admission().check([job()])


def test_an_empty_queue_admits_without_a_figure() -> None:
    seen = seeing()

    seen.check([job(level=Priority.REALTIME) for _ in range(1000)])


def test_a_request_that_would_wait_too_long_is_refused_with_a_time() -> None:
    with pytest.raises(QueueFull) as refused:
        flooded().check([job(level=Priority.REALTIME)])

    # It starts as the 102nd, at 4 a second: 25.5 s, less the limit of 3 s.
    assert refused.value.retry_after_seconds == pytest.approx(22.5)
    assert "would wait about 26 s" in str(refused.value)


def test_a_flood_does_not_refuse_those_whom_fairness_would_serve() -> None:
    flooded().check([spec(2, level=Priority.REALTIME)])


def test_many_flows_with_one_job_each_wait_for_one_another() -> None:
    seen = seeing(row(Priority.REALTIME, 100, tags=[7.0] * 100, clock=7.0))

    with pytest.raises(QueueFull):
        seen.check([spec(2, level=Priority.REALTIME)])


def test_a_batch_is_exempt_from_the_wait_and_not_from_the_caps(
    monkeypatch: pytest.MonkeyPatch,
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


def test_held_rows_count_against_the_cap_and_so_do_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_paused_level_takes_more_and_holds_nobody_up() -> None:
    rows = row(Priority.REALTIME, 100), row(Priority.HIGH, 1)
    paused = Pauses({("level", "realtime"): ""})
    seen = seeing(*rows, pauses=paused)
    stored(seen, job(level=Priority.REALTIME), tag=500.0)

    seen.check([job(level=Priority.REALTIME)])

    (models,) = seen.queue.load.model_sets
    assert models.load.levels[0].queued == 0
    assert models.load.processing == 2 * SLOTS


def test_what_is_due_later_joins_no_queue_now() -> None:
    flooded().check([job(level=Priority.REALTIME, due_at=datetime(2099, 1, 1, tzinfo=UTC))])


def test_another_model_set_is_not_held_up() -> None:
    endpoints = [endpoint(MODEL), endpoint("other")]
    seen = seeing(
        row(Priority.REALTIME, 100), row(Priority.REALTIME, model="other"), endpoints=endpoints
    )
    stored(seen, job(level=Priority.REALTIME), tag=500.0)

    seen.check([job(level=Priority.REALTIME, model="other")])
    with pytest.raises(QueueFull):
        seen.check([job(level=Priority.REALTIME)])


def test_without_an_enabled_endpoint_nothing_is_estimated() -> None:
    drained = [endpoint(state="draining")]
    seen = seeing(row(Priority.REALTIME, 100), endpoints=drained)

    seen.check([job(level=Priority.REALTIME)])


def test_what_joined_since_the_look_stands_before_the_next(clock: Clock) -> None:
    seen = seeing(row(Priority.REALTIME, 8, tags=[0.0] * 8), clock=clock)
    for _ in range(3):
        seen.check([job(level=Priority.REALTIME)])
        stored(seen, job(level=Priority.REALTIME), tag=9.0)

    seen.check([job(level=Priority.REALTIME)])
    stored(seen, job(level=Priority.REALTIME), tag=9.0)
    with pytest.raises(QueueFull):
        seen.check([job(level=Priority.REALTIME)])

    clock.go_on(0.5)  # two have started
    seen.check([job(level=Priority.REALTIME)])


def test_an_old_look_refuses_nobody(clock: Clock) -> None:
    seen = flooded(clock)

    clock.go_on(OLD_SECONDS + 0.1)

    seen.check([job(level=Priority.REALTIME)])


def test_intake_paused_refuses_everything_whatever_the_age(clock: Clock) -> None:
    seen = seeing(pauses=Pauses({("intake", ""): "new disks"}), clock=clock)

    clock.go_on(10 * OLD_SECONDS)

    with pytest.raises(Maintenance, match="new disks") as refused:
        seen.check([job()], batch=True)
    assert refused.value.retry_after_seconds == 30.0


def test_an_outage_of_valkey_is_never_told_as_a_full_queue(clock: Clock) -> None:
    seen = flooded(clock)
    seen.queue.stand_still()

    seen.check([job(level=Priority.REALTIME)])

    clock.go_on(SETTLING_SECONDS)
    seen.queue.update(NONE, seen.queue.load)
    with pytest.raises(QueueFull):
        seen.check([job(level=Priority.REALTIME)])


def test_the_caps_hold_in_an_outage_too(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = flooded()
    seen.queue.stand_still()
    monkeypatch.setattr(configuration().scheduling, "max_queued", 50)

    with pytest.raises(QueueFull, match="too many requests wait"):
        seen.check([job(level=Priority.REALTIME)])
