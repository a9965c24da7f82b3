"""A server whose answers to probes a test says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from balancing.endpoints.target import Target


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
