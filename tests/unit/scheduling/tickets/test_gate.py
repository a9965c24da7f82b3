"""The gate between Celery's hub and the engine's loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from scheduling.levels import LEVELS
from scheduling.tickets.gate import Gate


@pytest.fixture
def gate() -> Gate:
    made = Gate()
    made.activate()
    return made


def see(gate: Gate, room: int, *, tickets: int = 0) -> None:
    """What the engine tells after a look at the slots."""
    gate.settle(tickets=tickets, room=room, since=gate.mark())


def test_nothing_is_admitted_before_an_engine_runs() -> None:
    gate = Gate()
    see(gate, 4)

    assert gate.admitted(LEVELS) == []


def test_room_admits_every_level_in_order(gate: Gate) -> None:
    assert gate.admitted(LEVELS) == []

    see(gate, 1)

    assert gate.admitted(LEVELS) == list(LEVELS)
    assert gate.admitted(["low", "high"]) == ["low", "high"]


def test_tickets_in_hand_use_up_the_room(gate: Gate) -> None:
    see(gate, 2)

    gate.take()
    assert gate.spare == 1
    gate.take()

    assert gate.spare == 0
    assert gate.admitted(LEVELS) == []
    assert gate.is_short


def test_a_settled_ticket_leaves_the_hand(gate: Gate) -> None:
    see(gate, 2)
    gate.take(2)

    see(gate, 1, tickets=2)

    assert gate.spare == 1


def test_more_tickets_settled_than_taken_is_none_in_hand(gate: Gate) -> None:
    see(gate, 2, tickets=5)

    assert gate.spare == 2


def test_a_freed_slot_is_room(gate: Gate) -> None:
    gate.freed()

    assert gate.spare == 1


def test_slots_freed_after_the_look_are_added_to_it(gate: Gate) -> None:
    since = gate.mark()
    gate.freed(2)

    gate.settle(tickets=0, room=1, since=since)

    assert gate.spare == 3


def test_slots_freed_before_the_look_are_not_counted_twice(gate: Gate) -> None:
    gate.freed(2)
    since = gate.mark()

    gate.settle(tickets=0, room=2, since=since)

    assert gate.spare == 2


def test_a_negative_count_is_no_room(gate: Gate) -> None:
    since = gate.mark()
    gate.freed()

    gate.settle(tickets=0, room=-3, since=since)

    assert gate.spare == 1


def test_a_closed_level_stays_out_until_a_slot_frees(gate: Gate) -> None:
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


def test_reopen_admits_closed_levels(gate: Gate) -> None:
    see(gate, 5)
    gate.close("low")

    gate.reopen()

    assert gate.admitted(LEVELS) == list(LEVELS)


@pytest.fixture
def wakes(gate: Gate) -> list[str]:
    found: list[str] = []
    gate.on_open(lambda: found.append("woken"))
    return found


def test_a_hub_that_was_refused_is_woken_when_room_appears(gate: Gate, wakes: list[str]) -> None:
    gate.take()
    assert gate.admitted(LEVELS) == []

    see(gate, 0)
    see(gate, 1)
    assert wakes == [], "the room is what the ticket in hand will use"
    see(gate, 2)

    assert len(wakes) == 1


def test_a_freed_slot_wakes_it_too(gate: Gate, wakes: list[str]) -> None:
    assert gate.admitted(LEVELS) == []

    gate.freed()

    assert len(wakes) == 1


def test_a_hub_that_was_admitted_is_let_be(gate: Gate, wakes: list[str]) -> None:
    see(gate, 1)
    assert gate.admitted(LEVELS)
    wakes.clear()

    see(gate, 2)
    gate.freed()
    gate.reopen()

    assert wakes == []


@pytest.mark.parametrize("opens", [Gate.reopen, Gate.freed])
def test_a_hub_refused_one_level_is_woken_when_it_opens(
    gate: Gate, wakes: list[str], opens: Callable[[Gate], None]
) -> None:
    see(gate, 5)
    gate.close("low")
    assert gate.admitted(LEVELS)
    wakes.clear()

    opens(gate)

    assert len(wakes) == 1
    assert "low" in gate.admitted(LEVELS)


def test_reset_forgets_everything_but_whom_to_wake(gate: Gate) -> None:
    see(gate, 5)
    gate.close("low")

    gate.reset()

    assert gate.spare == 0
    assert not gate.has_closed
    assert gate.admitted(LEVELS) == []


def test_counts_survive_two_threads(gate: Gate) -> None:
    turns = 5_000

    def hub() -> None:
        for _ in range(turns):
            gate.take()

    def loop() -> None:
        for _ in range(turns):
            since = gate.mark()
            gate.freed()
            gate.settle(tickets=0, room=0, since=since)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(hub), pool.submit(loop)]:
            done.result()

    see(gate, turns + 3)
    assert gate.spare == 3, "every ticket taken is still in hand"


def test_a_paused_level_stays_out_whatever_frees(gate: Gate) -> None:
    see(gate, 5)

    gate.pause(frozenset({"high"}))
    gate.freed()
    gate.reopen()

    assert gate.is_paused("high")
    assert gate.admitted(LEVELS) == ["realtime", "normal", "low"]
    assert not gate.has_closed, "no polling while a pause lasts"
    gate.pause(frozenset())
    assert gate.admitted(LEVELS) == list(LEVELS)


def test_the_hub_is_woken_when_a_pause_ends_that_refused(gate: Gate) -> None:
    wakes: list[str] = []
    gate.on_open(lambda: wakes.append("woken"))
    see(gate, 5)
    gate.pause(frozenset({"high", "low"}))
    gate.admitted(LEVELS)

    gate.pause(frozenset({"high", "low", "normal"}))
    assert wakes == []
    gate.pause(frozenset({"high"}))

    assert wakes == ["woken"]
