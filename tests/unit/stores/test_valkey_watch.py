"""An outage of Valkey: when it is seen, and how often it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from redis.asyncio import ConnectionPool, Redis
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from structlog.testing import capture_logs

from stores import valkey_watch
from stores.valkey_watch import ValkeyWatch


class Scripted:
    """A client whose writes go as the test says."""

    def __init__(self, write: Callable[[], Any]) -> None:
        self.write = write
        self.connection_pool = ConnectionPool.from_url("redis://:secret@valkey:6380")

    async def set(self, *_: Any, **__: Any) -> Any:
        found = self.write()
        if isinstance(found, Exception):
            raise found
        if isinstance(found, float):
            await asyncio.sleep(found)
        return True


def watching(write: Callable[[], Any], **options: Any) -> ValkeyWatch:
    return ValkeyWatch(cast(Redis, Scripted(write)), **options)


@pytest.mark.parametrize(
    "error",
    [LostError("refused"), ReadOnlyError("READONLY replica"), OutOfMemoryError("OOM"), OSError()],
    ids=lambda error: type(error).__name__,
)
async def test_a_server_that_takes_no_write_is_away(error: Exception) -> None:
    watch = watching(lambda: error)

    await watch.look()

    assert watch.is_away


async def test_one_line_when_it_goes_and_one_when_it_is_back() -> None:
    answers: list[Any] = [None, LostError("refused"), LostError("refused"), None, None]
    times_away: list[bool] = []
    watch = watching(lambda: answers.pop(0), while_away=lambda: times_away.append(True))

    with capture_logs() as logs:
        while answers:
            await watch.look()

    assert [(line["event"], line["address"]) for line in logs] == [
        ("valkey.away", "valkey:6380"),
        ("valkey.back", "valkey:6380"),
    ]
    assert len(times_away) == 2
    assert not watch.is_away


async def test_a_silent_server_is_away_and_a_slow_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(valkey_watch, "PATIENCE_SECONDS", (0.05, 0.05))
    silent, slow = watching(lambda: 30.0), watching(lambda: 0.06)

    await asyncio.gather(silent.look(), slow.look())

    assert (silent.is_away, slow.is_away) == (True, False)
