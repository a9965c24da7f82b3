"""How many slots of each endpoint are in use now, for people who look."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import redis

from balancing.live.slots import key
from balancing.live.state import EMPTY, Live
from balancing.live.store import read_live
from balancing.models import Endpoint
from llmqueue_project.config import configuration


@lru_cache(maxsize=1)
def _client() -> redis.Redis:
    url = configuration().redis_url.get_secret_value()
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


def slots_in_use(endpoint_ids: Sequence[int]) -> dict[int, int]:
    """Unexpired slots by endpoint id; empty when Valkey is away: a page is shown without them."""
    if not endpoint_ids:
        return {}
    try:
        client = _client()
        moment: Any = client.time()
        now = moment[0] * 1000 + moment[1] // 1000
        with client.pipeline(transaction=False) as pipe:
            for endpoint_id in endpoint_ids:
                pipe.zcount(key(endpoint_id), now, "+inf")
            return dict(zip(endpoint_ids, pipe.execute(), strict=True))
    except redis.RedisError:
        return {}


def live_state(endpoint_ids: Sequence[int]) -> dict[int, Live]:
    """What workers know together of endpoints; empty when Valkey is away."""
    if not endpoint_ids:
        return {}
    try:
        return read_live(_client(), endpoint_ids)
    except redis.RedisError:
        return {}


_seen: tuple[float, dict[int, int], dict[int, Live]] = (0.0, {}, {})


def _lately() -> tuple[float, dict[int, int], dict[int, Live]]:
    """Of all endpoints, at most a second old: for lists that ask row by row."""
    global _seen
    if time.monotonic() >= _seen[0]:
        ids = list(Endpoint.objects.values_list("pk", flat=True))
        _seen = (time.monotonic() + 1.0, slots_in_use(ids), live_state(ids))
    return _seen


def slots_lately() -> dict[int, int]:
    """`slots_in_use` of all endpoints, at most a second old."""
    return _lately()[1]


def live_lately(endpoint_id: int) -> Live:
    """An endpoint's live state, at most a second old."""
    return _lately()[2].get(endpoint_id, EMPTY)
