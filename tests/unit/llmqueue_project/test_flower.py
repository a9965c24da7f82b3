"""The proxy in front of Flower: who may pass, what is passed on, and what when it is down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, StreamingHttpResponse
from django.test import AsyncRequestFactory

from conversations.models import Operator
from llmqueue_project import flower
from llmqueue_project.config import configuration

STAFF = Operator(username="ada", is_staff=True, is_superuser=True)


class Upstream:
    """A Flower that says what it was asked."""

    def __init__(self) -> None:
        self.address = ""
        self.asked: list[str] = []
        self.connections: Callable[[], list[Any]] = list

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.raw_path}")
        body = (await request.read()).decode()
        if request.path.endswith("/moved"):
            raise web.HTTPFound("/flower/workers")
        text = json.dumps({"headers": dict(request.headers), "body": body})
        return web.Response(text=text, headers={"Set-Cookie": "theirs=1", "X-Theirs": "yes"})


@pytest.fixture
async def upstream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Upstream]:
    served = Upstream()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", served.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert runner.server
    served.connections = lambda: runner.server.connections  # type: ignore[union-attr]
    served.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    point_to(monkeypatch, served.address)
    yield served
    await runner.cleanup()


def point_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    config = configuration().model_copy(update={"flower_internal_url": address})
    monkeypatch.setattr(flower, "configuration", lambda: config)


def request(
    path: str = "/flower/", *, user: Any = STAFF, method: str = "GET", **more: Any
) -> HttpRequest:
    made: HttpRequest = AsyncRequestFactory().generic(method, path, **more)

    async def auser() -> Any:
        return user

    made.auser = auser
    return made


async def content(response: Any) -> dict[str, Any]:
    assert isinstance(response, StreamingHttpResponse)
    found: dict[str, Any] = json.loads(b"".join([part async for part in response]))
    return found


@pytest.mark.parametrize(
    "user", [AnonymousUser(), Operator(username="x"), Operator(is_staff=True, is_active=False)]
)
async def test_only_operators_pass(upstream: Upstream, user: Any) -> None:
    response: Any = await flower.proxy(request("/flower/tasks?a=1", user=user), path="tasks")

    assert response.status_code == 302
    assert response.url == "/admin/login/?next=/flower/tasks%3Fa%3D1"
    assert upstream.asked == []


async def test_path_and_query_are_kept(upstream: Upstream) -> None:
    response = await flower.proxy(request("/flower/task/a%20b?x=1&y=%20"), path="")

    assert response.status_code == 200
    assert upstream.asked == ["GET /flower/task/a%20b?x=1&y=%20"]
    await content(response)


async def test_no_secret_of_ours_is_passed_on(upstream: Upstream) -> None:
    headers = {
        "cookie": "sessionid=secret",
        "authorization": "Bearer secret",
        "x-api-key": "secret",
        "connection": "x-hop",
        "x-hop": "secret",
        "accept": "text/html",
    }

    response = await flower.proxy(request(headers=headers), path="")

    shown = await content(response)
    assert "secret" not in json.dumps(shown)
    assert shown["headers"]["Accept"] == "text/html"
    assert "set-cookie" not in {name.lower() for name in response.headers}
    assert response["X-Theirs"] == "yes"


async def test_the_connection_ends_with_the_answer(upstream: Upstream) -> None:
    response: Any = await flower.proxy(request(), path="")

    await content(response)

    async with asyncio.timeout(5):
        while upstream.connections():
            await asyncio.sleep(0)


async def test_redirects_are_the_browsers_business(upstream: Upstream) -> None:
    response = await flower.proxy(request("/flower/moved"), path="moved")

    assert (response.status_code, response["Location"]) == (302, "/flower/workers")
    assert isinstance(response, StreamingHttpResponse)
    async for _ in response:
        pass


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://testserver"}, True),
        ({"sec-fetch-site": "cross-site", "origin": "http://testserver"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://evil"}, False),
        ({"origin": "null"}, False),
        ({}, False),
    ],
)
async def test_changes_come_from_this_site_only(
    upstream: Upstream, headers: dict[str, str], passes: bool
) -> None:
    made = request("/flower/api/worker/shutdown/w", method="POST", data=b"a=1", headers=headers)

    response = await flower.proxy(made, path="")

    assert response.status_code == (200 if passes else 403)
    assert len(upstream.asked) == passes
    if passes:
        assert (await content(response))["body"] == "a=1"


async def test_a_page_says_when_flower_is_down(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    point_to(monkeypatch, "http://127.0.0.1:1")

    response: Any = await flower.proxy(request(), path="")

    assert response.status_code == 502
    assert b"Flower is not running" in response.content


def test_another_host_cannot_be_reached() -> None:
    url = flower.target("http://127.0.0.1:5555", "/flower/@evil.example/")

    assert (url.host, url.port) == ("127.0.0.1", 5555)


async def test_staff_without_all_rights_do_not_steer_workers() -> None:
    response = await flower.proxy(request(user=Operator(username="bob", is_staff=True)))

    assert response.status_code == 403
