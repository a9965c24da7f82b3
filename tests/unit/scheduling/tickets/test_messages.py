"""Tickets, as Celery would publish them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
import redis

from llmqueue_project.celery import app
from llmqueue_project.embedded.services import Services
from scheduling.levels import LEVELS
from scheduling.tasks import serve_next
from scheduling.tickets.messages import counted, pushes, render


def published_by_celery(services: Services, level: str) -> dict[str, Any]:
    with redis.Redis.from_url(services.redis_url) as client:
        client.delete(level)
        with app.connection_for_write() as connection:
            serve_next.apply_async((level,), queue=level, connection=connection)
        (message,) = client.lrange(level, 0, -1)
        client.delete(level)
    found: dict[str, Any] = json.loads(message)
    return found


def without_identifiers(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what differs from one to the next."""
    headers, properties = dict(message["headers"]), dict(message["properties"])
    for name in ("id", "root_id", "origin"):
        assert headers.pop(name)
    for name in ("correlation_id", "reply_to", "delivery_tag"):
        assert properties.pop(name)
    body = json.loads(base64.b64decode(message["body"]))
    return {**message, "headers": headers, "properties": properties, "body": body}


@pytest.mark.parametrize("level", LEVELS)
def test_a_rendered_ticket_is_what_celery_publishes(services: Services, level: str) -> None:
    celerys = published_by_celery(services, level)

    ours = json.loads(render(level))

    assert without_identifiers(ours) == without_identifiers(celerys)


def test_every_ticket_has_an_identifier_of_its_own() -> None:
    first, second = (json.loads(render("low")) for _ in range(2))

    assert first["headers"]["id"] == first["headers"]["root_id"]
    assert first["headers"]["id"] == first["properties"]["correlation_id"]
    assert first["headers"]["id"] != second["headers"]["id"]
    assert first["properties"]["delivery_tag"] != second["properties"]["delivery_tag"]


def test_tickets_are_counted_and_pushed_by_queue() -> None:
    counts = counted([0, 3, 3])

    assert counts == {"realtime": 1, "low": 2}
    assert [(level, len(found)) for level, found in pushes({**counts, "high": 0})] == [
        ("realtime", 1),
        ("low", 2),
    ]
