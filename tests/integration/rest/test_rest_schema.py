"""The OpenAPI document and its page."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern

from conversations.api.urls import urlpatterns

pytestmark = pytest.mark.integration


@pytest.fixture
def schema() -> dict[str, Any]:
    found: dict[str, Any] = Client().get("/api/schema/", {"format": "json"}).json()
    return found


def test_every_route_is_described(schema: dict[str, Any]) -> None:
    paths = {
        "/api/v1/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(route.pattern))
        for route in urlpatterns
        if isinstance(route, URLPattern) and not str(route.pattern).startswith("^")
    }

    assert paths <= set(schema["paths"])


def test_the_openai_door_is_described(schema: dict[str, Any]) -> None:
    for path in (
        "/v1/chat/completions",
        "/v1/models",
        "/api/v1/messages/{message_id}/events",
        "/health",
        "/health/ready",
    ):
        assert path in schema["paths"]
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert schema["paths"]["/api/v1/messages"]["post"]["security"] == [{"apiKey": []}]


def test_it_is_valid_and_without_warnings() -> None:
    errors = StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO(), stderr=errors)

    assert errors.getvalue() == ""


def test_the_page_is_served_from_here() -> None:
    page = Client().get("/api/docs/").content.decode()

    assert "swagger-ui" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
