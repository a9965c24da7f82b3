"""Which endpoints there are: their rows, remembered for a moment by every process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from balancing.models import Endpoint
from balancing.prices import ANY_MODEL, Price, prices_of
from llmqueue_project.config import load

ENDPOINTS = """
select id, name, base_url, model_names, api_key_variable, weight, max_concurrent, state,
       host, model_aliases, prices
  from balancing_endpoint where discover = '' order by id
"""


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as a worker needs it. `base_url` has no trailing slash.

    `host` is the Host header where it is not the URL's: a member of a group is called at its
    address by the group's name.
    """

    id: int
    name: str
    base_url: str
    model_names: frozenset[str]
    api_key_variable: str
    weight: float
    max_concurrent: int
    state: str
    host: str = ""
    model_aliases: Mapping[str, str] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)

    @property
    def takes_work(self) -> bool:
        return self.state == Endpoint.State.ENABLED

    @property
    def server_hostname(self) -> str | None:
        """The name to send and to check in TLS; None where it is the URL's."""
        return urlsplit(f"//{self.host}").hostname if self.host else None

    def upstream_model(self, name: str) -> str:
        """What the endpoint itself calls a model."""
        return self.model_aliases.get(name, name)

    def price(self, model: str) -> Price | None:
        """What a model costs there; None when nobody has said."""
        return self.prices.get(model) or self.prices.get(ANY_MODEL)


def targets(rows: Iterable[tuple[Any, ...]]) -> tuple[Target, ...]:
    """Rows of `ENDPOINTS` as targets."""
    return tuple(
        Target(
            id=row[0],
            name=row[1],
            base_url=row[2].rstrip("/"),
            model_names=frozenset(_parsed(row[3])),
            api_key_variable=row[4],
            weight=row[5],
            max_concurrent=row[6],
            state=row[7],
            host=row[8],
            model_aliases=_parsed(row[9]),
            prices=prices_of(_parsed(row[10])),
        )
        for row in rows
    )


def _parsed(value: Any) -> Any:
    """A jsonb column: Django's cursors give its text, psycopg's own its value."""
    return json.loads(value) if isinstance(value, str) else value


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
    offered = (e for e in known_endpoints() if e.state != Endpoint.State.DISABLED and e.model_names)
    oldest = next(offered, None)
    return min(oldest.model_names) if oldest else ""


def known_models() -> list[str]:
    return model_names(known_endpoints())


def forget() -> None:
    """Read the rows again at the next look: one has changed."""
    global _seen
    _seen = (0.0, ())
