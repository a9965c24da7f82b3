"""The OpenAPI document and its page."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import URLPattern

from conversations.doors import openapi as schema_module
from conversations.doors.rest.urls import urlpatterns

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
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{model}",
        "/api/v1/messages/{message_id}/events",
        "/health",
        "/health/ready",
    ):
        assert path in schema["paths"]
    assert schema["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert schema["paths"]["/api/v1/messages"]["post"]["security"] == [{"apiKey": []}]


def test_every_operation_has_a_summary_and_its_resources_tag(schema: dict[str, Any]) -> None:
    tags = set()
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            tags.update(operation["tags"])

    assert {"messages", "conversations", "endpoints", "resources", "usage", "openai"} <= tags
    assert "api" not in tags


def test_it_is_yaml_unless_json_is_asked_for() -> None:
    client = Client()

    plain = client.get("/api/schema/")
    asked = client.get("/api/schema/", headers={"Accept": "application/json"})

    assert plain.content.startswith(b"openapi: ")
    assert asked.json()["openapi"]


def test_it_is_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    client.get("/api/schema/")
    monkeypatch.setattr(schema_module, "SchemaGenerator", None)

    assert client.get(f"/api/schema/?n={uuid4()}").status_code == 200


def test_it_is_valid_and_without_warnings() -> None:
    errors = StringIO()

    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO(), stderr=errors)

    assert errors.getvalue() == ""


def test_the_page_is_served_from_here() -> None:
    page = Client().get("/api/docs/").content.decode()

    assert "swagger-ui" in page
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', page)
