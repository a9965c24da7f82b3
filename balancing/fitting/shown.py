"""What endpoints refuse, for pages and REST: read where it is shown, forgotten on request."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import redis

from balancing.fitting import learned
from balancing.fitting.learned import Lesson
from balancing.live.occupancy import LATELY_SECONDS, valkey_of_pages
from stores.memory import Aged, remembered


class _Shown:
    """The lessons by endpoint id, at most a second old; for lists that ask by row."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seen: Aged[Mapping[int, list[Lesson]]] = Aged(LATELY_SECONDS, clock=clock)

    def of(self, endpoint_id: int) -> list[Lesson]:
        return self._seen.current(_read).get(endpoint_id, [])

    def expire(self) -> None:
        self._seen.expire()


def lessons_lately(endpoint_id: int) -> list[Lesson]:
    """What an endpoint refuses, at most a second old; empty when Valkey is away."""
    return remembered(_Shown).of(endpoint_id)


def forget(endpoint_id: int) -> int:
    """Forget what an endpoint refuses; workers know it within seconds. Returns how many fields.

    Raises:
        redis.RedisError: Valkey is away.
    """
    count = learned.forget(valkey_of_pages(), endpoint_id)
    remembered(_Shown).expire()
    return count


def _read() -> dict[int, list[Lesson]]:
    found: dict[int, list[Lesson]] = {}
    try:
        for lesson in learned.read_lessons(valkey_of_pages(), now=time.time()):
            found.setdefault(lesson.endpoint_id, []).append(lesson)
    except redis.RedisError:
        return {}
    return found
