"""Which endpoints there are: their rows, remembered for a moment by every process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from balancing.models import Endpoint
from llmqueue_project.config import load

ENDPOINTS = """
select id, name, base_url, model_names, api_key_variable, weight, max_concurrent, state
  from balancing_endpoint order by id
"""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as a worker needs it. `base_url` has no trailing slash."""

    id: int
    name: str
    base_url: str
    model_names: frozenset[str]
    api_key_variable: str
    weight: float
    max_concurrent: int
    state: str

    @property
    def takes_work(self) -> bool:
        return self.state == Endpoint.State.ENABLED


def targets(rows: Iterable[tuple[Any, ...]]) -> tuple[Target, ...]:
    """Rows of `ENDPOINTS` as targets."""
    import json

    return tuple(
        Target(
            id=row[0],
            name=row[1],
            base_url=row[2].rstrip("/"),
            model_names=frozenset(json.loads(row[3]) if isinstance(row[3], str) else row[3]),
            api_key_variable=row[4],
            weight=row[5],
            max_concurrent=row[6],
            state=row[7],
        )
        for row in rows
    )


def model_names(endpoints: Iterable[Target]) -> list[str]:
    """Every model that some endpoint serves, unless all that do are disabled.

    The oldest endpoint's come first: a client that takes the first gets the default one.
    """
    names: dict[str, None] = {}
    for endpoint in endpoints:
        if endpoint.state != Endpoint.State.DISABLED:
            names |= dict.fromkeys(sorted(endpoint.model_names))
    return list(names)


_seen: tuple[float, tuple[Target, ...]] = (0.0, ())


def known_endpoints() -> tuple[Target, ...]:
    """The endpoints, by Django's connection, at most `registry_seconds` old."""
    global _seen
    from django.db import connection

    if time.monotonic() >= _seen[0]:
        with connection.cursor() as cursor:
            cursor.execute(ENDPOINTS)
            rows = targets(cursor.fetchall())
        _seen = (time.monotonic() + load().balancing.registry_seconds, rows)
    return _seen[1]


def default_model() -> str:
    """What a request that names no model gets: the setting, else the oldest endpoint's first."""
    configured = load().default_model
    if configured:
        return configured
    offered = (e for e in known_endpoints() if e.state != Endpoint.State.DISABLED)
    oldest = next(offered, None)
    return min(oldest.model_names) if oldest else ""


def known_models() -> list[str]:
    return model_names(known_endpoints())


def forget() -> None:
    """Read the rows again at the next look: one has changed."""
    global _seen
    _seen = (0.0, ())
