"""Probes against a real HTTP server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from balancing.endpoints.target import Target
from balancing.health.probes import MOST_WAITING, Prober, ProbeResult
from tests.unit.balancing.health.conftest import Server


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
