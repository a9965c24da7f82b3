"""Whether a web process can serve, and how often its servers are asked."""

from __future__ import annotations

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ValkeyAway

from conversations.doors.lean.leaving import Leaving
from conversations.doors.lean.readiness import READY_SECONDS, Readiness
from tests.hot_path import Db


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def readiness(database: Db, valkey: Redis, clock: Clock) -> Readiness:
    return Readiness(database.pools, valkey, Leaving(), clock=clock)


async def test_servers_that_answer(readiness: Readiness) -> None:
    status, raw = await readiness.answer()

    body = orjson.loads(raw)
    assert (status, body["status"]) == (200, "ready")
    assert {name: part["status"] for name, part in body["components"].items()} == {
        "postgresql": "ok",
        "valkey": "ok",
    }


async def test_they_are_asked_once_a_second(
    readiness: Readiness, clock: Clock, valkey: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await readiness.answer()

    async def away() -> bool:
        raise ValkeyAway("away")

    monkeypatch.setattr(valkey, "ping", away)

    clock.now += READY_SECONDS - 0.01
    assert await readiness.answer() == first
    clock.now += 0.02
    status, raw = await readiness.answer()
    assert (status, orjson.loads(raw)["components"]["valkey"]["status"]) == (503, "down")


async def test_a_process_that_leaves_is_not_ready_from_then_on(
    database: Db, valkey: Redis, clock: Clock
) -> None:
    leaving = Leaving()
    readiness = Readiness(database.pools, valkey, leaving, clock=clock)
    before, _ = await readiness.answer()

    leaving.begun = True

    status, raw = await readiness.answer()
    assert (before, status, orjson.loads(raw)) == (200, 503, {"status": "shutting_down"})


async def test_rows_that_cannot_be_used_are_told_and_change_nothing(
    database: Db, valkey: Redis
) -> None:
    readiness = Readiness(database.pools, valkey, Leaving(), lambda: {"endpoints": 2})

    status, raw = await readiness.answer()

    assert (status, orjson.loads(raw)["set_aside"]) == (200, {"endpoints": 2})
