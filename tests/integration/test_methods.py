"""Every route and every method: an answer or a refusal, never a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from tests.field import examples
from tests.integration.rest.conftest import Api, endpoint, operator, tenant

__all__ = ["endpoint", "operator", "tenant"]  # fixtures
pytestmark = pytest.mark.integration

METHODS = ("OPTIONS", "TRACE", "PUT", "BREW", "HEAD", "GET", "POST", "PATCH", "DELETE")
NAMED = {"int": "1", "path": "a/b", "str": "x", "slug": "x", "uuid": "0" * 8}


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        path = prefix + plain(str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield path
        else:
            yield from routes(pattern, path)


def plain(pattern: str) -> str:
    """A path that a pattern matches."""
    named = re.sub(r"<(?:(\w+):)?\w+>", lambda found: NAMED[found[1] or "str"], pattern)
    return re.sub(r"\(\?P<\w+>[^)]*\)|[\^$\\]|\.\*", "", named)


def test_every_route_takes_or_refuses_every_method(operator: Api) -> None:
    staff = Client(raise_request_exception=False)
    staff.force_login(get_user_model().objects.create_superuser(username="op", password="x"))
    keyed = {"Authorization": f"Bearer {operator.key}"}
    paths = [f"/{path}" for path in routes(get_resolver())]
    admin = [path for path in paths if path.startswith("/admin/")]
    asked = {*paths} - {*admin[examples(2, len(admin)) :], "/admin/logout/"}
    faults = []
    for path in sorted(path for path in asked if not path.startswith("/flower")):
        for method in METHODS[: examples(3, len(METHODS))]:
            answer: Any = staff.generic(method, path, headers=keyed)
            if answer.status_code >= 500 or (answer.status_code == 405 and not answer["Allow"]):
                faults.append((method, path, answer.status_code))

    assert len(paths) > 60
    assert faults == []


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE", "POST"])
def test_the_documents_are_read_only(method: str) -> None:
    client = Client(raise_request_exception=False, enforce_csrf_checks=True)
    for path in ("/api/docs/", "/api/schema/", "/metrics"):
        answer = client.generic(method, path)

        assert answer.status_code == 405, path
        assert "GET" in answer["Allow"]


def test_methods_of_the_rest_door_are_told(operator: Api) -> None:
    refused = operator.call("PUT", "/messages", {"whatever": 1})
    options = operator.call("OPTIONS", "/messages")

    refused.refused(405, 1017)
    assert refused.headers["Allow"] == options.headers["Allow"] == "GET, POST, HEAD, OPTIONS"
    assert options.status == 200
    assert set(options.body) == {"code", "message", "data", "timestamp"}
