"""What workers have learned: shared, shown, forgotten after a day or by an operator."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
import redis
from redis.asyncio import Redis

from balancing.fitting.learned import DAY, KEY, Lessons, forget, read_lessons
from llmqueue_project.embedded.services import Services


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def known(lessons: Lessons, endpoint: int) -> dict[str, set[str]]:
    return {model: set(fields) for model, fields in (lessons.of(endpoint) or {}).items()}


class Away:
    """A Valkey that cannot be reached."""

    def pipeline(self, **_options: Any) -> Any:
        raise redis.ConnectionError("away")

    async def hgetall(self, _key: str) -> Any:
        raise redis.ConnectionError("away")


async def test_without_valkey_a_process_knows_its_own_for_a_day() -> None:
    clock = Clock()
    lessons = Lessons(None, clock=clock)

    lessons.learn(1, "m:x", "user", "unknown user")
    assert known(lessons, 1) == {"m:x": {"user"}}
    assert lessons.of(2) is None

    clock.now += DAY
    await lessons.refresh()
    assert lessons.of(1) is None


async def test_an_outage_of_valkey_changes_nothing() -> None:
    lessons = Lessons(Away())  # type: ignore[arg-type]

    lessons.learn(1, "m", "user", "x")
    with pytest.raises(redis.ConnectionError):
        await lessons.refresh()

    assert known(lessons, 1) == {"m": {"user"}}


async def stored(valkey: Redis, fields: int) -> None:
    """Wait until so many lessons are in Valkey: they are written beside the call."""
    async with asyncio.timeout(5):
        while await valkey.hlen(KEY) != fields:
            await asyncio.sleep(0.005)


async def test_all_workers_know_it_and_the_first_one_gives_the_time(valkey: Redis) -> None:
    clock = Clock()
    one, other = Lessons(valkey, clock=clock), Lessons(valkey, clock=clock)

    one.learn(1, "m", "user", "unknown user")
    await stored(valkey, 1)
    clock.now += 100
    other.learn(1, "m", "user", "again")
    other.learn(7, "n:1", "stream_options", "no")
    await stored(valkey, 2)
    await other.refresh()
    await one.refresh()

    assert known(one, 1) == known(other, 1) == {"m": {"user"}}
    assert known(one, 7) == {"n:1": {"stream_options"}}
    first = orjson.loads(await valkey.hget(KEY, "1:user:m") or b"")
    assert first == {"since": 1_000_000.0, "text": "unknown user"}
    assert 0 < await valkey.ttl(KEY) <= DAY


async def test_what_another_version_has_stored_harms_nothing(
    valkey: Redis, services: Services
) -> None:
    """A worker would not start, and admin's list of endpoints would not open."""
    await valkey.hset(KEY, mapping={"v2": "{}", "1:user:m": "[]", "x:user:m": "{", "1:a:b": "1"})
    good = orjson.dumps({"since": 1_000_000.0, "text": "no"}).decode()
    await valkey.hset(KEY, "3:seed:m", good)
    lessons = Lessons(valkey, clock=Clock())

    await lessons.refresh()

    assert known(lessons, 3) == {"m": {"seed"}}
    with redis.Redis.from_url(services.redis_url.rsplit("/", 1)[0] + "/9") as pages:
        assert [x.field for x in read_lessons(pages, now=1_000_001.0)] == ["seed"]
        assert forget(pages, 3) == 1


async def test_it_is_forgotten_after_a_day(valkey: Redis) -> None:
    clock = Clock()
    lessons = Lessons(valkey, clock=clock)
    lessons.learn(1, "m", "user", "x")
    await stored(valkey, 1)

    clock.now += DAY
    await lessons.refresh()

    assert lessons.of(1) is None
    assert await valkey.hlen(KEY) == 0


async def test_operators_see_it_and_make_it_forgotten(valkey: Redis, services: Services) -> None:
    clock = Clock()
    lessons = Lessons(valkey, clock=clock)
    for endpoint in (1, 11):
        lessons.learn(endpoint, "m", "user", "unknown user")
    await stored(valkey, 2)

    with redis.Redis.from_url(services.redis_url.rsplit("/", 1)[0] + "/9") as pages:
        shown = read_lessons(pages, now=clock.now)
        forgotten = forget(pages, 1)
    await lessons.refresh()

    assert [(x.endpoint_id, x.model, x.field, x.text) for x in shown] == [
        (11, "m", "user", "unknown user"),
        (1, "m", "user", "unknown user"),
    ]
    assert forgotten == 1
    assert lessons.of(1) is None
    assert known(lessons, 11) == {"m": {"user"}}
