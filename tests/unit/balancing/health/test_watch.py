"""Probes against a real HTTP server, and what they make of an endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from redis.asyncio import Redis

from balancing.choice.endpoint_view import EndpointView
from balancing.endpoints.registry import Target
from balancing.health.probes import MOST_WAITING, Prober, ProbeResult
from balancing.health.watch import Watch
from balancing.live.slots import Slots
from balancing.live.state import EMPTY, CallOutcome, Ending, Live, live_key
from balancing.live.store import LiveStore
from balancing.policies.probing import Health, Probing


class Server:
    """Answers GETs as `paths` says: (status, text); others with 404."""

    def __init__(self) -> None:
        self.paths: dict[str, tuple[int, str]] = {}
        self.asked: list[str] = []
        self.credentials: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        self.credentials.append(request.headers.get("Authorization", ""))
        status, text = self.paths.get(request.path, (404, ""))
        return web.Response(status=status, text=text)

    def target(self, **fields: Any) -> Target:
        values = {"api_key_variable": "", "max_concurrent": 8, "state": "enabled", **fields}
        return Target(
            id=1, name="e", base_url=f"{self.url}/v1", model_names=frozenset("m"), weight=1.0,
            **values,
        )  # fmt: skip


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", made.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def prober() -> AsyncIterator[Prober]:
    made = Prober(timeout_seconds=2.0)
    yield made
    await made.close()


class TestProbe:
    @pytest.mark.parametrize(
        ("paths", "error"),
        [
            ({"/health": (200, "")}, ""),
            ({"/health": (503, "loading")}, "HTTP 503"),
            ({"/v1/models": (200, "{}")}, ""),
            ({"/v1/models": (500, "")}, "HTTP 500"),
            ({"/v1/models": (401, "")}, ""),
            ({}, ""),
        ],
    )
    async def test_a_server_that_answers_is_there(
        self, server: Server, prober: Prober, paths: Any, error: str
    ) -> None:
        server.paths = paths

        assert (await prober.probe(server.target(), in_use=0)).error == error

    @pytest.mark.parametrize("host", ["127.0.0.1:9", "a" * 64])
    async def test_a_server_that_is_gone(self, prober: Prober, host: str) -> None:
        target = Target(1, "e", f"http://{host}/v1", frozenset("m"), "", 1.0, 8, "enabled")

        assert (await prober.probe(target, in_use=0)).error

    @pytest.mark.parametrize(
        ("paths", "waiting"),
        [
            ({"/metrics": (200, '# x\nvllm:num_requests_waiting{model_name="m"} 3.0\n')}, 3),
            ({"/metrics": (200, "llamacpp:requests_deferred 2\n")}, 2),
            (
                {"/metrics": (200, ('vllm:num_requests_waiting{a="1"} 1\n'
                                   'vllm:num_requests_waiting{a="2"} 2\n'))},
                3,
            ),
            ({"/slots": (200, '[{"id": 0}, {"id": 1}]')}, 3),
            ({"/metrics": (200, "other 3"), "/slots": (200, "no json")}, None),
            ({"/slots": (200, "{}")}, None),
            ({"/metrics": (200, "llamacpp:requests_deferred 1e999\n")}, MOST_WAITING),
            ({}, None),
        ],
    )  # fmt: skip
    async def test_calls_that_wait_inside(
        self, server: Server, prober: Prober, paths: Any, waiting: int | None
    ) -> None:
        server.paths = {"/health": (200, ""), **paths}

        assert await prober.probe(server.target(), in_use=5) == ProbeResult(waiting=waiting)

    async def test_what_is_absent_is_not_asked_each_time(
        self, server: Server, prober: Prober
    ) -> None:
        for _ in range(2):
            await prober.probe(server.target(), in_use=0)

        assert server.asked == ["/health", "/v1/models", "/metrics", "/slots", "/v1/models"]

    async def test_the_credential_goes_to_the_api_only(
        self, server: Server, prober: Prober, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLM_TEST", "secret")

        await prober.probe(server.target(api_key_variable="LLM_TEST"), in_use=0)

        sent = dict(zip(server.asked, server.credentials, strict=True))
        assert sent == {"/health": "", "/v1/models": "Bearer secret", "/metrics": "", "/slots": ""}


class TestRule:
    def test_by_answers_in_a_row(self) -> None:
        rule, health = Probing(unhealthy_after=3, healthy_after=2), Health()
        seen = []
        for answered in (False, False, True, False, False, False, True, False, True, True):
            health = rule.after(health, answered=answered)
            seen.append(health.is_healthy)

        assert seen == [True] * 5 + [False] * 4 + [True]


class TestWatch:
    @pytest.fixture
    async def watch(self, valkey: Redis, server: Server) -> AsyncIterator[Watch]:
        view = EndpointView()
        view.update_targets([server.target()])
        made = Watch(LiveStore(valkey), view, worker="w")
        yield made
        await made.close()

    async def probes(self, watch: Watch, valkey: Redis, count: int) -> Live:
        for _ in range(count):
            watch._due.clear()
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


def test_a_word_for_it() -> None:
    now = 1000.0
    words = [
        live.health(now)
        for live in (
            EMPTY,
            Live(healthy=False, ejected_until=2000.0),
            Live(ejected_until=1001.0),
            Live(ejected_until=999.0),
            Live(returned_at=990.0),
            Live(returned_at=900.0),
        )
    ]
    assert words == ["healthy", "unhealthy", "ejected", "trial", "returning", "healthy"]
