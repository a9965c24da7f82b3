"""A held slot is freed once, and not before it was written down."""

from __future__ import annotations

import asyncio

from balancing.endpoints.registry import Target
from balancing.live.state import CallOutcome, Ending
from scheduling.dispatch.slot import Placement, Slot
from tests.hot_path import MODEL

TARGET = Target(7, "e", "http://e", frozenset([MODEL]), "", 1.0, 4, "enabled")


class Keeper:
    def __init__(self) -> None:
        self.freed: list[Ending] = []

    async def free(self, ending: Ending) -> None:
        self.freed.append(ending)


async def test_a_release_says_what_the_call_said() -> None:
    keeper = Keeper()
    slot = Slot(Placement(TARGET, "{}"), "lease", keeper)
    ending = Ending(7, "lease", outcome=CallOutcome.ANSWERED)

    await slot.release(ending)

    assert keeper.freed == [ending]
    assert not slot.is_held


async def test_without_a_word_it_says_nothing_of_the_endpoint() -> None:
    keeper = Keeper()

    await Slot(Placement(TARGET, "{}"), "lease", keeper).release()

    assert keeper.freed == [Ending(7, "lease")]


async def test_it_is_freed_once() -> None:
    keeper = Keeper()
    slot = Slot(Placement(TARGET, "{}"), "lease", keeper)

    await asyncio.gather(slot.release(), slot.release())
    await slot.release()

    assert len(keeper.freed) == 1


async def test_it_is_written_down_before_it_is_freed() -> None:
    keeper, written = Keeper(), asyncio.Event()

    async def confirm() -> None:
        await written.wait()

    slot = Slot(Placement(TARGET, "{}"), "lease", keeper, asyncio.create_task(confirm()))
    releasing = asyncio.create_task(slot.release())
    await asyncio.sleep(0)
    assert keeper.freed == []

    written.set()
    await releasing

    assert len(keeper.freed) == 1
