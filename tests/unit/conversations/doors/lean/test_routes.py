"""Which handler answers a path, and which door refuses it."""

from __future__ import annotations

import pytest

from conversations.doors.lean.backend import Backend
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.routes import Door, Route, Routes
from conversations.doors.lean.wire import Exchange


async def things(_backend: Backend, _exchange: Exchange) -> None: ...
async def add_thing(_backend: Backend, _exchange: Exchange) -> None: ...
async def one_thing(_backend: Backend, _exchange: Exchange) -> None: ...
async def parts(_backend: Backend, _exchange: Exchange) -> None: ...
async def health(_backend: Backend, _exchange: Exchange) -> None: ...


class Words:
    """An error format that tests tell by its name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def body(self, refusal: Refusal) -> bytes:
        return b""

    def event(self, refusal: Refusal) -> bytes:
        return b""


ONE, OTHER, PLAIN = Words("one"), Words("other"), Words("plain")
ROUTES = Routes(
    [
        Door(
            (
                Route("GET", "/v1/things", things, is_counted=True),
                Route("POST", "/v1/things", add_thing),
                Route("GET", "/v1/things/{name:path}", one_thing),
            ),
            ONE,
            prefixes=("/v1/",),
        ),
        Door((Route("GET", "/api/things/{id}/parts", parts),), OTHER),
        Door((Route("GET", "/health", health),), PLAIN, prefixes=("/health",)),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "handler", "parameters"),
    [
        ("GET", "/v1/things", things, ()),
        ("HEAD", "/v1/things", things, ()),
        ("POST", "/v1/things", add_thing, ()),
        ("GET", "/v1/things/", things, ()),
        ("GET", "/v1/things///", things, ()),
        ("GET", "/v1/things/a", one_thing, ("a",)),
        ("GET", "/v1/things/a/", one_thing, ("a",)),
        ("GET", "/v1/things/org/model:8b", one_thing, ("org/model:8b",)),
        ("GET", "/v1/things/a\nb", one_thing, ("a\nb",)),
        # A20: a base URL with a slash too many, with /v1 twice, or without it.
        ("GET", "//v1/things", things, ()),
        ("GET", "/v1//things", things, ()),
        ("POST", "/v1/v1/things/", add_thing, ()),
        ("POST", "//v1//v1/v1/things", add_thing, ()),
        ("POST", "/things", add_thing, ()),
        ("GET", "/things/a", one_thing, ("a",)),
        ("GET", "/v1/v1/things/v1/a", one_thing, ("v1/a",)),
        ("GET", "/api/things/5//parts//", parts, ("5",)),
        ("GET", "/api/things/5/parts", parts, ("5",)),
        ("GET", "/api/things/5/parts/", parts, ("5",)),
        ("GET", "/health", health, ()),
    ],
)
def test_a_path_leads_to_a_handler(
    method: str, path: str, handler: object, parameters: tuple[str, ...]
) -> None:
    found, named = ROUTES.find(path)

    assert ROUTES.serves(path)
    assert found.handler(method, path) is handler
    assert named == parameters


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("/v1", ONE),
        ("/v1/", ONE),
        ("/v1/nothing", ONE),
        ("/v1/v1", ONE),
        ("/v1/v1/nothing", ONE),
        ("/health/nothing", PLAIN),
        ("/healthy", PLAIN),
        ("/elsewhere", ONE),
        ("", ONE),
    ],
)
def test_an_unknown_path_is_refused_by_its_door(path: str, errors: Words) -> None:
    found, _ = ROUTES.find(path)

    with pytest.raises(Refusal) as caught:
        found.handler("GET", path)

    assert (caught.value.status, caught.value.code) == (404, "unknown_url")
    assert found.errors is errors


def test_another_method_is_refused_with_those_that_are_taken() -> None:
    found, _ = ROUTES.find("/v1/things")

    with pytest.raises(Refusal, match="/v1/things takes GET, POST") as caught:
        found.handler("DELETE", "/v1/things")

    assert (caught.value.status, caught.value.code) == (405, "method_not_allowed")
    assert dict(caught.value.headers) == {"allow": "GET, POST, HEAD", "x-should-retry": "false"}


@pytest.mark.parametrize(
    ("path", "serves"),
    [
        ("/v1", True),
        ("/v1/unknown", True),
        ("/v1beta", False),
        ("/healthy", True),
        ("/api/things/5/parts", True),
        ("/api/things/5/parts/", True),
        ("/api/things/5/parts//", True),
        ("//v1/unknown", True),
        ("//admin/", False),
        ("/api/things/5/6/parts", False),
        ("/api/things/5", False),
        ("/admin/", False),
        ("/", False),
    ],
)
def test_what_the_lean_application_serves(path: str, serves: bool) -> None:
    assert ROUTES.serves(path) is serves


def test_the_metrics_show_few_paths() -> None:
    paths = ("/v1/things", "/v1/things/a", "/v1/nothing", "/health")

    labels = [found.label for found, _ in map(ROUTES.find, paths)]

    assert labels == ["/v1/things", "other", "other", "other"]
