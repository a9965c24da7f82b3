"""What the worker that probes for all makes of its probes, with a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from balancing.choice.endpoint_view import EndpointView
from balancing.health.watch import Watch
from balancing.live.slots import Slots
from balancing.live.state import CallOutcome, Ending, Live, live_key
from balancing.live.store import LiveStore
from tests.unit.balancing.health.conftest import Server


class TestWatch:
    @pytest.fixture
    async def watch(self, valkey: Redis, server: Server) -> AsyncIterator[Watch]:
        view = EndpointView()
        view.update_targets([server.target()])
        made = Watch(LiveStore(valkey), view, worker="w", clock=itertools.count(0, 60).__next__)
        yield made
        await made.close()

    async def probes(self, watch: Watch, valkey: Redis, count: int) -> Live:
        for _ in range(count):
            await watch.once()
            await asyncio.gather(*watch._running.values())
        return (await LiveStore(valkey).read([1]))[1][1]

    async def test_three_failures_and_two_answers(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        server.paths["/health"] = (503, "")
        assert (await self.probes(watch, valkey, 2)).healthy

        down = await self.probes(watch, valkey, 1)
        assert (down.healthy, down.probe_error) == (False, "HTTP 503")

        server.paths["/health"] = (200, "")
        assert not (await self.probes(watch, valkey, 1)).healthy
        up = await self.probes(watch, valkey, 1)
        assert up.healthy
        assert up.returned_at > 0, "a slow start follows"
        assert up.probe_error == ""

    async def test_a_server_that_answers_calls_is_well(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        server.paths["/health"] = (503, "")
        slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
        await slots.release([Ending(1, "lease", outcome=CallOutcome.ANSWERED)])

        assert (await self.probes(watch, valkey, 4)).healthy

    async def test_one_prober_over_all_workers(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        other = Watch(LiveStore(valkey), watch._view, worker="w")
        await watch.once()

        await other.once()
        await asyncio.gather(*watch._running.values())

        assert other._running == {}
        assert server.asked.count("/health") == 1

    async def test_limits_are_learned_from_streams(self, watch: Watch, valkey: Redis) -> None:
        slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
        await slots.add([(1, f"running{n}") for n in range(8)])

        async def look(token_seconds: float) -> Live:
            ending = Ending(
                1, "x", CallOutcome.ANSWERED, token_seconds=token_seconds, is_crowding=True
            )
            await slots.release([ending])
            await watch.once()
            return (await LiveStore(valkey).read([1]))[1][1]

        assert (await look(0.02)).limit == 8.0
        crowded = [(await look(0.2)).limit for _ in range(3)]
        assert crowded == sorted(crowded, reverse=True)
        assert crowded[-1] < 7

    async def test_without_endpoints_there_is_nothing_to_do(self, valkey: Redis) -> None:
        await Watch(LiveStore(valkey), EndpointView(), worker="w").once()

        assert await valkey.exists(live_key(1)) == 0
