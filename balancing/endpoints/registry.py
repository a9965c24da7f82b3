"""Which endpoints there are: their rows, remembered for a moment by every process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.db import connection

from balancing.endpoints.access import Access
from balancing.models import Endpoint, served_apis
from balancing.prices import ANY_MODEL, Price, prices_of
from llmqueue_project.config import configuration
from stores.memory import Aged, remembered

COLUMNS = (
    "id",
    "name",
    "base_url",
    "model_names",
    "api_key_variable",
    "weight",
    "max_concurrent",
    "state",
    "apis",
    "requests_per_minute",
    "tokens_per_minute",
    "kind",
    "api_version",
    "encrypted_credential",
    "extra_headers",
    "ca_bundle",
    "verify_tls",
    "proxy_url",
    "connect_timeout",
    "first_token_timeout",
    "stall_timeout",
    "total_timeout",
    "host",
    "model_aliases",
    "prices",
)
ENDPOINTS = (
    f"select {', '.join(COLUMNS)} from balancing_endpoint"  # noqa: S608
    " where discover = '' order by id"
)


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
    apis: frozenset[str] = frozenset({"chat", "completion"})
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    access: Access = field(default_factory=Access)
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

    @property
    def connection_options(self) -> dict[str, Any]:
        """aiohttp's arguments for whatever is asked of it; a redirect is never followed."""
        return {
            "server_hostname": self.server_hostname,
            "allow_redirects": False,
            "ssl": self.access.tls,
            "proxy": self.access.proxy_url or None,
        }

    @property
    def host_header(self) -> dict[str, str]:
        """The header that a member needs to be called by its group's name."""
        return {"Host": self.host} if self.host else {}

    @property
    def is_rate_limited(self) -> bool:
        return self.requests_per_minute is not None or self.tokens_per_minute is not None

    def serves(self, model: str, api: str) -> bool:
        return model in self.model_names and api in self.apis

    def upstream_model(self, name: str) -> str:
        """What the endpoint itself calls a model."""
        return self.model_aliases.get(name, name)

    def price(self, model: str) -> Price | None:
        """What a model costs there; None when nobody has said."""
        return self.prices.get(model) or self.prices.get(ANY_MODEL)


def targets(rows: Iterable[tuple[Any, ...]]) -> tuple[Target, ...]:
    """Rows of `ENDPOINTS` as targets."""
    return tuple(_target(dict(zip(COLUMNS, row, strict=True))) for row in rows)


def _target(row: dict[str, Any]) -> Target:
    return Target(
        id=row["id"],
        name=row["name"],
        base_url=row["base_url"].rstrip("/"),
        model_names=frozenset(_parsed(row["model_names"])),
        api_key_variable=row["api_key_variable"],
        weight=row["weight"],
        max_concurrent=row["max_concurrent"],
        state=row["state"],
        apis=served_apis(row["kind"], _parsed(row["apis"])),
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        host=row["host"],
        model_aliases=_parsed(row["model_aliases"]),
        prices=prices_of(_parsed(row["prices"])),
        access=Access(
            kind=row["kind"],
            api_version=row["api_version"],
            encrypted_credential=row["encrypted_credential"],
            extra_headers=tuple(_parsed(row["extra_headers"]).items()),
            ca_bundle=row["ca_bundle"],
            verify_tls=row["verify_tls"],
            proxy_url=row["proxy_url"].rstrip("/"),
            connect_timeout=row["connect_timeout"],
            first_token_timeout=row["first_token_timeout"],
            stall_timeout=row["stall_timeout"],
            total_timeout=row["total_timeout"],
        ),
    )


def target_of(endpoint: Endpoint) -> Target:
    """A row, saved or not, as a target."""
    return _target({name: getattr(endpoint, name) for name in COLUMNS} | {"id": endpoint.pk or 0})


def _parsed(value: Any) -> Any:
    """A JSON column: Django's cursor gives text, psycopg's own an object."""
    return json.loads(value) if isinstance(value, str) else value


def apis_of(model: str, endpoints: Iterable[Target]) -> frozenset[str]:
    """The APIs by which a model can be asked, unless all that serve it are disabled."""
    found: frozenset[str] = frozenset()
    for endpoint in endpoints:
        if endpoint.state != Endpoint.State.DISABLED and model in endpoint.model_names:
            found |= endpoint.apis
    return found


def model_names(endpoints: Iterable[Target]) -> list[str]:
    """Every model that some endpoint serves, unless all that do are disabled.

    The oldest endpoint's come first: a client that takes the first gets the default one.
    """
    names: dict[str, None] = {}
    for endpoint in endpoints:
        if endpoint.state != Endpoint.State.DISABLED:
            names |= dict.fromkeys(sorted(endpoint.model_names))
    return list(names)


class KnownEndpoints:
    """The endpoints, read by Django's connection, at most `registry_seconds` old."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        seconds = configuration().balancing.registry_seconds
        self._known: Aged[tuple[Target, ...]] = Aged(seconds, clock=clock)

    def current(self) -> tuple[Target, ...]:
        return self._known.current(_read)

    def expire(self) -> None:
        """Read the rows again at the next call: one has changed."""
        self._known.expire()


def _read() -> tuple[Target, ...]:
    with connection.cursor() as cursor:
        cursor.execute(ENDPOINTS)
        return targets(cursor.fetchall())


def known_endpoints() -> tuple[Target, ...]:
    """The endpoints, as whoever keeps a memory remembers them; else as they are."""
    return remembered(KnownEndpoints).current()


def expire() -> None:
    """Have the rows read again: one has changed."""
    remembered(KnownEndpoints).expire()


def default_model() -> str:
    """What a chat that names no model gets: the setting, else the oldest chat endpoint's first."""
    configured = configuration().default_model
    if configured:
        return configured
    usable = (e for e in known_endpoints() if e.state != Endpoint.State.DISABLED)
    offered = (e for e in usable if "chat" in e.apis and e.model_names)
    oldest = next(offered, None)
    return min(oldest.model_names) if oldest else ""


def known_models(api: str = "") -> list[str]:
    """Models that can be asked for, by one API or by any."""
    return model_names(e for e in known_endpoints() if not api or api in e.apis)
