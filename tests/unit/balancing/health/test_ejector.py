"""What one worker makes of the calls that fail: for all, and at once for itself."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from balancing.choice.endpoint_view import EndpointView
from balancing.endpoints.target import Target
from balancing.health.ejector import Ejector
from balancing.live.slots import Slots
from balancing.live.state import CallOutcome, Ending, Verdict, live_key
from balancing.live.store import LiveStore
from balancing.policies.ejection import Standing


@pytest.fixture
def view() -> EndpointView:
    made = EndpointView()
    made.update_targets(
        Target(n, f"e{n}", "http://e/v1", frozenset("m"), "", 1.0, 8, "enabled") for n in (1, 2)
    )
    return made


async def verdicts(valkey: Redis, endpoint: int, times: int) -> list[Verdict]:
    slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
    endings = [Ending(endpoint, f"lease{n}", CallOutcome.FAILED) for n in range(times)]
    return await slots.release(endings, cooldown_seconds=1)


async def test_an_ejected_endpoint_has_no_slots_here_at_once(
    valkey: Redis, view: EndpointView
) -> None:
    ejector = Ejector(LiveStore(valkey), view)

    for verdict in await verdicts(valkey, 1, times=5):
        await ejector.judge(verdict)

    assert view.limits == {1: 0, 2: 8}


async def test_a_peer_of_one_that_is_out_stays(valkey: Redis, view: EndpointView) -> None:
    ejector = Ejector(LiveStore(valkey), view)

    for endpoint in (1, 2):
        for verdict in await verdicts(valkey, endpoint, times=5):
            await ejector.judge(verdict)

    assert view.limits == {1: 0, 2: 8}


class TestPoison:
    """B6: a request that makes every endpoint fail ejects none of them for the others."""

    async def fail(self, valkey: Redis, view: EndpointView, *outcomes: CallOutcome) -> None:
        ejector = Ejector(LiveStore(valkey), view)
        slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
        for outcome in outcomes:
            for verdict in await slots.release([Ending(1, "x", outcome)]):
                await ejector.judge(verdict)

    async def test_it_hardly_counts(self, valkey: Redis, view: EndpointView) -> None:
        await self.fail(valkey, view, *[CallOutcome.DOUBTED] * 99)
        assert view.limits == {1: 8, 2: 8}

        await self.fail(valkey, view, CallOutcome.DOUBTED)
        assert view.limits == {1: 0, 2: 8}, "a hundred without a success in between"

    async def test_a_success_in_between_ends_all_doubt(
        self, valkey: Redis, view: EndpointView
    ) -> None:
        for _ in range(6):
            await self.fail(valkey, view, *[CallOutcome.DOUBTED] * 60, CallOutcome.ANSWERED)

        assert view.limits == {1: 8, 2: 8}
        assert (await LiveStore(valkey).read([1]))[1][1].errors == 360, "operators see them"

    async def test_an_answer_elsewhere_proves_the_fault(
        self, valkey: Redis, view: EndpointView
    ) -> None:
        await self.fail(valkey, view, *[CallOutcome.DOUBTED, CallOutcome.CHARGED] * 5)

        assert view.limits == {1: 0, 2: 8}


async def test_an_account_that_is_used_up_says_why(valkey: Redis, view: EndpointView) -> None:
    """B2"""
    ejector = Ejector(LiveStore(valkey), view)
    slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
    ending = Ending(1, "x", CallOutcome.EXHAUSTED, avoid_seconds=900, reason="http_429: no quota")
    for _ in range(3):
        for verdict in await slots.release([ending], cooldown_seconds=5):
            await ejector.judge(verdict)

    now, states = await LiveStore(valkey).read([1])

    assert view.limits == {1: 0, 2: 8}
    assert states[1].ejected_until == pytest.approx(now + 900, abs=2)
    assert states[1].failing_until == pytest.approx(now + 120, abs=2)
    assert states[1].ejected_why == "http_429: no quota"


async def test_one_whose_account_is_filled_again_is_avoided_no_more(
    valkey: Redis, view: EndpointView
) -> None:
    """B2: a trial call finds it out."""
    now = int((await valkey.time())[0] * 1000)
    told: dict[Any, Any] = {
        "ejected_until": now,
        "ejections": 1,
        "failing_until": now + 60_000,
        "trial": "t",
    }
    await valkey.hset(live_key(1), mapping=told)
    slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)

    for verdict in await slots.release([Ending(1, "t", CallOutcome.ANSWERED)]):
        await Ejector(LiveStore(valkey), view).judge(verdict)

    _, states = await LiveStore(valkey).read([1])
    assert (states[1].ejected_until, states[1].failing_until) == (0.0, 0.0)


async def test_one_that_is_always_busy_is_left_alone_for_longer(
    valkey: Redis, view: EndpointView
) -> None:
    """B2: a 429 that says nothing of its cause or its end."""
    slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
    busy = [Ending(1, "x", CallOutcome.BUSY)]

    async def left_alone() -> float:
        await valkey.hset(live_key(1), "failing_until", 0)
        await slots.release(busy * 3, cooldown_seconds=5)
        now, states = await LiveStore(valkey).read([1])
        return states[1].failing_until - now

    waits = [await left_alone() for _ in range(6)]
    await slots.release([Ending(1, "x", CallOutcome.ANSWERED)])

    assert waits == pytest.approx([5, 10, 20, 40, 80, 80], abs=0.5)
    assert await left_alone() == pytest.approx(5, abs=0.5), "an answer ends that"


async def test_without_valkey_nothing_is_decided(view: EndpointView) -> None:
    async with Redis(port=9) as away:
        await Ejector(LiveStore(away), view).judge(Verdict(1, 0.0, False, Standing(failures=9)))

    assert view.limits == {1: 8, 2: 8}
