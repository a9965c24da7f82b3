"""Tickets, as Celery would publish them, and the order in which kombu asks for them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from llmqueue_project.celery import app
from llmqueue_project.embedded.services import Services
from scheduling.levels import LEVELS
from scheduling.policies.levels import Floors, LevelPolicy, Strict
from scheduling.tasks import serve_next
from scheduling.tickets import messages as tickets
from scheduling.tickets.gate import Gate
from scheduling.tickets.messages import LevelOrder, counted, pushes, render


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


class TestLevelOrder:
    @pytest.fixture
    def gate(self, monkeypatch: pytest.MonkeyPatch) -> Gate:
        gate = Gate()
        gate.activate()
        gate.settle(tickets=0, room=5, since=gate.mark())
        monkeypatch.setattr(tickets, "gate", gate)
        return gate

    @pytest.fixture(autouse=True)
    def policy(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[LevelPolicy]:
        policy = Floors({"low": 0.5})
        monkeypatch.setattr(tickets, "level_policy", lambda: policy)
        return policy  # type: ignore[return-value]

    def test_levels_come_highest_first_and_others_last(self, gate: Gate) -> None:
        order = LevelOrder(["low", "housekeeping", "realtime"])

        assert order.consume(3) == ["realtime", "low", "housekeeping"]

    def test_the_policy_decides_and_is_charged(self, gate: Gate) -> None:
        order = LevelOrder(["low", "realtime"])
        gate.freed(10)

        firsts = [order.rotate(order.consume(2)[0]) for _ in range(8)]

        assert firsts == [*["realtime"] * 6, "low", "realtime"]

    def test_without_room_no_level_is_asked(self, gate: Gate) -> None:
        order = LevelOrder([*LEVELS, "housekeeping"])
        gate.take(5)

        assert order.consume(5) == ["housekeeping"]

    def test_a_closed_level_is_not_asked(self, gate: Gate) -> None:
        order = LevelOrder(LEVELS)
        gate.close("realtime")

        assert order.consume(4) == ["high", "normal", "low"]

    def test_a_delivered_ticket_is_in_hand_and_a_chore_is_not(self, gate: Gate) -> None:
        order = LevelOrder(["low", "housekeeping"])

        order.rotate("low")
        order.rotate("housekeeping")

        assert gate.spare == 4

    def test_update_replaces_the_queues(self, gate: Gate) -> None:
        order = LevelOrder(["low"])

        order.update(["high"])

        assert order.consume(1) == ["high"]
        assert LevelOrder().consume(0) == []

    def test_the_gate_knows_what_celery_consumes(self, gate: Gate) -> None:
        """`celery control cancel_consumer` counts for tickets that the engine fetches, too."""
        order = LevelOrder(["low", "celery", "high"])
        LevelOrder(["worker.celery.pidbox"])
        assert gate.open_levels() == ["high", "low"]

        order.update(["low"])
        assert gate.open_levels() == ["low"]

        order.update([])
        assert gate.open_levels() == []


def test_the_configured_policy_is_one_for_the_process() -> None:
    tickets.level_policy.cache_clear()

    assert isinstance(tickets.level_policy(), Floors)
    assert tickets.level_policy() is tickets.level_policy()
    assert not isinstance(tickets.level_policy(), Strict)
