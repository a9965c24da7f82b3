"""How busy are the endpoints now? For pages and reports, which are shown without Valkey, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import redis

from balancing.live import slots
from balancing.live.state import EMPTY, Live
from balancing.live.store import read_live
from balancing.models import Endpoint
from llmqueue_project.config import configuration
from stores.control import AGAIN
from stores.memory import Aged, remembered

LATELY_SECONDS = 1.0


@lru_cache(maxsize=1)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=AGAIN)


def valkey_of_pages() -> redis.Redis:
    return _client(configuration().redis_url.get_secret_value())


def slots_in_use(endpoint_ids: Sequence[int]) -> dict[int, int]:
    """Slots in use by endpoint id; empty when Valkey is away."""
    if not endpoint_ids:
        return {}
    try:
        return slots.slots_in_use(valkey_of_pages(), endpoint_ids)
    except redis.RedisError:
        return {}


def live_state(endpoint_ids: Sequence[int]) -> dict[int, Live]:
    """Live state by endpoint id; empty when Valkey is away."""
    if not endpoint_ids:
        return {}
    try:
        return read_live(valkey_of_pages(), endpoint_ids)
    except redis.RedisError:
        return {}


@dataclass(frozen=True, slots=True)
class _Busy:
    """All endpoints at one moment, by id."""

    slots: Mapping[int, int] = field(default_factory=dict)
    live: Mapping[int, Live] = field(default_factory=dict)


class Occupancy:
    """Slots and live state of all endpoints, at most a second old; for lists that ask by row."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seen: Aged[_Busy] = Aged(LATELY_SECONDS, clock=clock)

    def slots(self) -> Mapping[int, int]:
        """As `slots_in_use`."""
        return self._seen.current(_read).slots

    def live(self, endpoint_id: int) -> Live:
        """As `live_state`; `EMPTY` if nothing is known."""
        return self._seen.current(_read).live.get(endpoint_id, EMPTY)


def _read() -> _Busy:
    ids = list(Endpoint.objects.values_list("pk", flat=True))
    return _Busy(slots_in_use(ids), live_state(ids))


def slots_lately() -> Mapping[int, int]:
    """`slots_in_use` of all endpoints, at most a second old."""
    return remembered(Occupancy).slots()


def live_lately(endpoint_id: int) -> Live:
    """An endpoint's live state, at most a second old."""
    return remembered(Occupancy).live(endpoint_id)
