"""The order in which kombu asks the levels' queues for tickets."""

from __future__ import annotations

import pytest

from scheduling.levels import LEVELS
from scheduling.policies.levels import Floors, Strict
from scheduling.tickets.gate import TicketGate
from scheduling.tickets.order import LevelOrder


@pytest.fixture
def gate() -> TicketGate:
    gate = TicketGate(Floors({"low": 0.5}))
    gate.activate()
    gate.update(tickets=0, room=5, since=gate.mark())
    return gate


def test_levels_come_highest_first_and_others_last(gate: TicketGate) -> None:
    order = LevelOrder(["low", "housekeeping", "realtime"], gate)

    assert order.consume(3) == ["realtime", "low", "housekeeping"]


def test_the_policy_decides_and_is_charged(gate: TicketGate) -> None:
    order = LevelOrder(["low", "realtime"], gate)
    gate.freed(10)

    firsts = [order.rotate(order.consume(2)[0]) for _ in range(8)]

    assert firsts == [*["realtime"] * 6, "low", "realtime"]


def test_without_room_no_level_is_asked(gate: TicketGate) -> None:
    order = LevelOrder([*LEVELS, "housekeeping"], gate)
    gate.take(5)

    assert order.consume(5) == ["housekeeping"]


def test_a_closed_level_is_not_asked(gate: TicketGate) -> None:
    order = LevelOrder(LEVELS, gate)
    gate.close("realtime")

    assert order.consume(4) == ["high", "normal", "low"]


def test_a_delivered_ticket_is_in_hand_and_a_chore_is_not(gate: TicketGate) -> None:
    order = LevelOrder(["low", "housekeeping"], gate)

    order.rotate("low")
    order.rotate("housekeeping")

    assert gate.spare == 4


def test_update_replaces_the_queues(gate: TicketGate) -> None:
    order = LevelOrder(["low"], gate)

    order.update(["high"])

    assert order.consume(1) == ["high"]
    assert LevelOrder(gate=gate).consume(0) == []


def test_the_gate_knows_what_celery_consumes(gate: TicketGate) -> None:
    """`celery control cancel_consumer` counts for tickets that the engine fetches, too."""
    order = LevelOrder(["low", "celery", "high"], gate)
    LevelOrder(["worker.celery.pidbox"], gate)
    assert gate.open_levels() == ["high", "low"]

    order.update(["low"])
    assert gate.open_levels() == ["low"]

    order.update([])
    assert gate.open_levels() == []


def test_the_configured_policy_is_one_for_the_process() -> None:
    gate = TicketGate()

    assert isinstance(gate.policy, Floors)
    assert gate.policy is gate.policy
    assert not isinstance(gate.policy, Strict)
