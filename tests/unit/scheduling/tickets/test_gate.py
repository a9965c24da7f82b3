"""The gate between Celery's hub and the engine's loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from scheduling.levels import LEVELS
from scheduling.tickets.gate import TicketGate


@pytest.fixture
def gate() -> TicketGate:
    made = TicketGate()
    made.activate()
    return made


def see(gate: TicketGate, room: int, *, tickets: int = 0) -> None:
    """What the engine tells after a look at the slots."""
    gate.update(tickets=tickets, room=room, since=gate.mark())


def test_nothing_is_admitted_before_an_engine_runs() -> None:
    gate = TicketGate()
    see(gate, 4)

    assert gate.admitted(LEVELS) == []


def test_room_admits_every_level_in_order(gate: TicketGate) -> None:
    assert gate.admitted(LEVELS) == []

    see(gate, 1)

    assert gate.admitted(LEVELS) == list(LEVELS)
    assert gate.admitted(["low", "high"]) == ["low", "high"]


def test_tickets_in_hand_use_up_the_room(gate: TicketGate) -> None:
    see(gate, 2)

    gate.take()
    assert gate.spare == 1
    gate.take()

    assert gate.spare == 0
    assert gate.admitted(LEVELS) == []
    assert gate.is_short


def test_a_settled_ticket_leaves_the_hand(gate: TicketGate) -> None:
    see(gate, 2)
    gate.take(2)

    see(gate, 1, tickets=2)

    assert gate.spare == 1


def test_more_tickets_settled_than_taken_is_none_in_hand(gate: TicketGate) -> None:
    see(gate, 2, tickets=5)

    assert gate.spare == 2


def test_a_freed_slot_is_room(gate: TicketGate) -> None:
    gate.freed()

    assert gate.spare == 1


def test_slots_freed_after_the_look_are_added_to_it(gate: TicketGate) -> None:
    since = gate.mark()
    gate.freed(2)

    gate.update(tickets=0, room=1, since=since)

    assert gate.spare == 3


def test_slots_freed_before_the_look_are_not_counted_twice(gate: TicketGate) -> None:
    gate.freed(2)
    since = gate.mark()

    gate.update(tickets=0, room=2, since=since)

    assert gate.spare == 2


def test_a_negative_count_is_no_room(gate: TicketGate) -> None:
    since = gate.mark()
    gate.freed()

    gate.update(tickets=0, room=-3, since=since)

    assert gate.spare == 1


def test_a_closed_level_stays_out_until_a_slot_frees(gate: TicketGate) -> None:
    see(gate, 5)

    gate.close("high")
    assert gate.has_closed
    assert gate.is_short
    assert gate.admitted(LEVELS) == ["realtime", "normal", "low"]
    see(gate, 5)
    assert "high" not in gate.admitted(LEVELS)
    gate.freed()

    assert gate.admitted(LEVELS) == list(LEVELS)
    assert not gate.has_closed
    assert not gate.is_short


def test_reopen_admits_closed_levels(gate: TicketGate) -> None:
    see(gate, 5)
    gate.close("low")

    gate.reopen()

    assert gate.admitted(LEVELS) == list(LEVELS)


@pytest.fixture
def wakes(gate: TicketGate) -> list[str]:
    found: list[str] = []
    gate.on_open(lambda: found.append("woken"))
    return found


def test_a_hub_that_was_refused_is_woken_when_room_appears(
    gate: TicketGate, wakes: list[str]
) -> None:
    gate.take()
    assert gate.admitted(LEVELS) == []

    see(gate, 0)
    see(gate, 1)
    assert wakes == [], "the room is what the ticket in hand will use"
    see(gate, 2)

    assert len(wakes) == 1


def test_a_freed_slot_wakes_it_too(gate: TicketGate, wakes: list[str]) -> None:
    assert gate.admitted(LEVELS) == []

    gate.freed()

    assert len(wakes) == 1


def test_a_hub_that_was_admitted_is_let_be(gate: TicketGate, wakes: list[str]) -> None:
    see(gate, 1)
    assert gate.admitted(LEVELS)
    wakes.clear()

    see(gate, 2)
    gate.freed()
    gate.reopen()

    assert wakes == []


@pytest.mark.parametrize("opens", [TicketGate.reopen, TicketGate.freed])
def test_a_hub_refused_one_level_is_woken_when_it_opens(
    gate: TicketGate, wakes: list[str], opens: Callable[[TicketGate], None]
) -> None:
    see(gate, 5)
    gate.close("low")
    assert gate.admitted(LEVELS)
    wakes.clear()

    opens(gate)

    assert len(wakes) == 1
    assert "low" in gate.admitted(LEVELS)


def test_a_new_gate_has_no_room_and_nothing_closed() -> None:
    gate = TicketGate()
    gate.activate()

    assert gate.spare == 0
    assert not gate.has_closed
    assert gate.admitted(LEVELS) == []


def test_counts_survive_two_threads(gate: TicketGate) -> None:
    turns = 5_000

    def hub() -> None:
        for _ in range(turns):
            gate.take()

    def loop() -> None:
        for _ in range(turns):
            since = gate.mark()
            gate.freed()
            gate.update(tickets=0, room=0, since=since)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(hub), pool.submit(loop)]:
            done.result()

    see(gate, turns + 3)
    assert gate.spare == 3, "every ticket taken is still in hand"


def test_a_paused_level_stays_out_whatever_frees(gate: TicketGate) -> None:
    see(gate, 5)

    gate.pause(frozenset({"high"}))
    gate.freed()
    gate.reopen()

    assert gate.is_paused("high")
    assert gate.admitted(LEVELS) == ["realtime", "normal", "low"]
    assert not gate.has_closed, "no polling while a pause lasts"
    gate.pause(frozenset())
    assert gate.admitted(LEVELS) == list(LEVELS)


def test_the_hub_is_woken_when_a_pause_ends_that_refused(gate: TicketGate) -> None:
    wakes: list[str] = []
    gate.on_open(lambda: wakes.append("woken"))
    see(gate, 5)
    gate.pause(frozenset({"high", "low"}))
    gate.admitted(LEVELS)

    gate.pause(frozenset({"high", "low", "normal"}))
    assert wakes == []
    gate.pause(frozenset({"high"}))

    assert wakes == ["woken"]
