"""The figure for autoscalers, over model sets and endpoints."""

from __future__ import annotations

from balancing.endpoints.registry import Target
from scheduling.models import Priority
from scheduling.reports.replicas import replicas_for
from scheduling.waiting.queue_load import QueueLoad
from tests.unit.scheduling.waiting.seeing import endpoint, load, row


def of(queue: QueueLoad, *endpoints: Target, used: int = 0) -> int:
    return replicas_for(queue, endpoints, {each.id: used for each in endpoints})


def test_nothing_is_wanted_of_what_is_idle() -> None:
    one = endpoint("a")

    assert of(load(endpoints=[one]), one) == 0
    assert of(load(endpoints=[one]), one, used=1) == 1, "what runs is not cut off"


def test_each_model_set_wants_its_own() -> None:
    """Sixty seconds of work at a target wait of three: twenty times the replicas."""
    endpoints = [endpoint("a"), endpoint("b")]
    rows = [row(Priority.REALTIME, 240, model=model) for model in ("a", "b")]

    assert of(load(rows[0], endpoints=endpoints), *endpoints) == 20
    assert of(load(*rows, endpoints=endpoints), *endpoints) == 40


def test_a_model_that_nobody_serves_wants_a_first_endpoint() -> None:
    drained, working = endpoint("a", state="draining"), endpoint("b")
    waiting = row(Priority.LOW, 5, model="a")

    assert of(load(waiting, endpoints=[drained]), drained) == 1
    assert of(load(waiting, endpoints=[drained, working]), drained, working) == 1
