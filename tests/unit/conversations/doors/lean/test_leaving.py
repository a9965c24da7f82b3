"""The order of a web process's way out, and what becomes of what still runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from conversations.doors.lean.leaving import Leaving, ShuttingDown
from conversations.doors.lean.wire import Exchange, HungUp
from tests.unit.conversations.doors.lean.test_wire import Client, Words, for_ever, nowhere


def held(leaving: Leaving) -> Exchange:
    """An exchange whose client stays."""
    return Exchange({"headers": ()}, for_ever, nowhere, errors=Words(), leaving=leaving)


async def at_work(seconds: float) -> None:
    await asyncio.sleep(seconds)


def on_its_way(leaving: Leaving, accept: float, grace: float, told: list[str]) -> Awaitable[None]:
    def stop_accepting() -> None:
        told.append("stop accepting")

    return asyncio.create_task(
        leaving.leave(accept_seconds=accept, grace_seconds=grace, stop_accepting=stop_accepting)
    )


async def test_it_says_so_then_stops_accepting_then_cuts() -> None:
    leaving, told = Leaving(), list[str]()
    work = asyncio.create_task(held(leaving).unless_hung_up(at_work(60)))
    way_out = on_its_way(leaving, 0.05, 0.05, told)
    await asyncio.sleep(0.02)
    assert (leaving.begun, told, work.done()) == (True, [], False)
    await asyncio.sleep(0.05)
    assert (told, work.done()) == (["stop accepting"], False)

    await way_out

    with pytest.raises(ShuttingDown) as caught:
        await work
    assert (caught.value.status, caught.value.may_be_repeated) == (503, True)


async def test_what_ends_in_time_is_not_cut() -> None:
    leaving = Leaving()
    work = asyncio.create_task(held(leaving).unless_hung_up(at_work(0.02)))

    await on_its_way(leaving, 0.02, 0.02, [])

    await work


async def test_what_comes_after_the_cut_is_cut_at_once() -> None:
    leaving = Leaving()
    await on_its_way(leaving, 0, 0, [])

    with pytest.raises(ShuttingDown):
        await asyncio.wait_for(held(leaving).unless_hung_up(at_work(60)), 1)


async def test_an_answer_whose_end_was_sent_is_not_cut() -> None:
    leaving, client = Leaving(), Client()
    exchange = Exchange({"headers": ()}, for_ever, client.send, errors=Words(), leaving=leaving)

    async def ending() -> None:
        await exchange.write(b"the end", more=False)
        await asyncio.sleep(60)

    work = asyncio.create_task(exchange.unless_hung_up(ending()))
    await on_its_way(leaving, 0.01, 0.01, [])

    await work
    assert [message["body"] for message in client.received] == [b"the end"]


async def test_a_hang_up_stays_one() -> None:
    leaving, client = Leaving(), Client()
    exchange = Exchange({"headers": ()}, client.receive, nowhere, errors=Words(), leaving=leaving)

    with pytest.raises(HungUp):
        await exchange.unless_hung_up(at_work(60))
    await on_its_way(leaving, 0, 0, [])
