"""What the worker that probes for all makes of its probes, with a real Valkey."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from balancing.choice.endpoint_view import EndpointView
from balancing.health.ejector import Ejector
from balancing.health.watch import Watch
from balancing.live.slots import Slots
from balancing.live.state import CallOutcome, Ending, Live, live_key
from balancing.live.store import Fields, LiveStore, Work
from balancing.policies.goodput import Look
from llmqueue_project.config import configuration
from tests.unit.balancing.health.conftest import Server


class TestWatch:
    @pytest.fixture
    async def watch(
        self, valkey: Redis, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Watch]:
        monkeypatch.setattr(configuration().balancing, "learn_limits", True)
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

    async def trial(self, watch: Watch, valkey: Redis, outcome: CallOutcome) -> Live:
        """The trial call of endpoint 1 ends so, and is judged."""
        slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
        store = LiveStore(valkey)
        watch._view.update_live(*await store.read(list(watch._view.targets)))
        await slots.open_epoch(quiet_seconds=0)
        reservation = await slots.reserve(watch._view.limits, 1)
        assert reservation.rooms[1].on_trial
        assert reservation.rooms[1].reserved == 1, "one call"
        await slots.confirm(reservation, {1: ["trial"]})
        for verdict in await slots.release([Ending(1, "trial", outcome)]):
            await Ejector(store, watch._view).judge(verdict)
        return (await store.read([1]))[1][1]

    async def test_the_last_way_is_tried_although_its_probes_fail(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        """found.md: the only endpoint fails its probe but answers calls."""
        server.paths["/health"] = (503, "")
        down = await self.probes(watch, valkey, 3)
        assert (down.healthy, down.ejected_why) == (False, "probes fail: HTTP 503")

        back = await self.trial(watch, valkey, CallOutcome.ANSWERED)

        assert (back.healthy, back.ejected_until, back.probe_doubted) == (True, 0.0, True)
        await asyncio.sleep(0.01)
        await valkey.hset(live_key(1), "answered_at", 0)
        assert (await self.probes(watch, valkey, 5)).healthy, "its probes have proved nothing"

    async def test_a_dead_last_way_waits_for_its_probes(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        server.paths["/health"] = (503, "")
        await self.probes(watch, valkey, 3)

        down = await self.trial(watch, valkey, CallOutcome.FAILED)
        assert (down.healthy, down.ejected_until > down.probed_at + 20) == (False, True)

        server.paths["/health"] = (200, "")
        up = await self.probes(watch, valkey, 2)
        assert (up.healthy, up.ejected_until) == (True, 0.0)

    async def test_a_call_that_fails_lets_the_probes_speak_again(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        server.paths["/health"] = (503, "")
        await self.probes(watch, valkey, 3)
        await self.trial(watch, valkey, CallOutcome.ANSWERED)
        slots = Slots(valkey, lease_seconds=60, reservation_seconds=1)
        await slots.release([Ending(1, "x", CallOutcome.FAILED)])
        await valkey.hset(live_key(1), "answered_at", 0)

        assert not (await self.probes(watch, valkey, 3)).healthy

    async def test_one_of_two_is_tried_after_a_pause(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        """B7: its probes fail, calls may succeed."""
        watch._view.update_targets([server.target(), replace(server.target(), id=2, name="b")])
        watch._view.live = {2: Live()}
        server.paths["/health"] = (503, "")

        down = await self.probes(watch, valkey, 3)

        assert not down.healthy
        assert down.ejected_until == pytest.approx(down.probed_at + 30, abs=1)

    async def test_probes_do_not_prolong_an_ejection(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        """B7: five failures, then 30 s without traffic while probes fail, then one trial call."""
        now = int((await valkey.time())[0] * 1000)
        await valkey.hset(live_key(1), mapping={"ejected_until": now, "ejections": 1})
        server.paths["/health"] = (500, "")
        down = await self.probes(watch, valkey, 3)
        assert (down.healthy, down.ejected_until * 1000) == (False, now)

        assert (await self.trial(watch, valkey, CallOutcome.ANSWERED)).healthy

    async def test_one_prober_over_all_workers(
        self, watch: Watch, valkey: Redis, server: Server
    ) -> None:
        other = Watch(LiveStore(valkey), watch._view, worker="w")
        await watch.once()

        await other.once()
        await asyncio.gather(*watch._running.values())

        assert other._running == {}
        assert server.asked.count("/health") == 1

    async def test_a_limit_of_another_rule_is_not_kept(self, watch: Watch, valkey: Redis) -> None:
        await LiveStore(valkey).store([(1, {"limit": "3.7", "learned_at": 1_000_000})])

        await watch.once()

        assert (await LiveStore(valkey).read([1]))[1][1].limit == 0.0

    async def test_a_successor_keeps_the_limit(self, watch: Watch, valkey: Redis) -> None:
        fields: Fields = {"limit": 5, "limit_since": round(time.time() * 1000) - 5000}
        await LiveStore(valkey).store([(1, fields)])

        await watch.once()

        assert (await LiveStore(valkey).read([1]))[1][1].limit == 5.0

    async def test_off_means_what_the_operator_allows(
        self, watch: Watch, valkey: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(watch._config, "learn_limits", False)
        await LiveStore(valkey).store([(1, {"limit": 5, "limit_since": 1_000_000})])

        await watch.once()

        work = (await LiveStore(valkey).take_work([1]))[1]
        assert (work.limit, work.since) == (0, 0.0), "and no work is counted"

    async def test_a_lower_limit_is_tried_under_load(
        self, watch: Watch, valkey: Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Eight slots that are all in use, looked at each second by the rule's clock."""
        store, seconds = LiveStore(valkey), itertools.count(1)

        async def work(endpoints: Sequence[int]) -> dict[int, Work]:
            look = Look(float(next(seconds)), in_use=8, ended=16, tokens=160, seconds=8.0, calls=16)
            return {1: Work(look, limit=0, since=0.0)}

        monkeypatch.setattr(watch._live, "take_work", work)
        limits = set()
        for _ in range(8):
            await watch.once()
            limits.add((await store.read([1]))[1][1].limit)

        assert limits == {0.0, 6.0}

    async def test_without_endpoints_there_is_nothing_to_do(self, valkey: Redis) -> None:
        await Watch(LiveStore(valkey), EndpointView(), worker="w").once()

        assert await valkey.exists(live_key(1)) == 0
