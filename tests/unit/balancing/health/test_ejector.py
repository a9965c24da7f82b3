"""What one worker makes of the calls that fail: for all, and at once for itself."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from balancing.choice.endpoint_view import EndpointView
from balancing.endpoints.target import Target
from balancing.health.ejector import Ejector
from balancing.live.slots import Slots
from balancing.live.state import CallOutcome, Ending, Verdict
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


async def test_without_valkey_nothing_is_decided(view: EndpointView) -> None:
    async with Redis(port=9) as away:
        await Ejector(LiveStore(away), view).judge(Verdict(1, 0.0, False, Standing(failures=9)))

    assert view.limits == {1: 8, 2: 8}
