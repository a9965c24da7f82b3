"""Which endpoints are there, and which models do they serve?"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog
from django.db import connection

from balancing.apis import EVERY_API
from balancing.endpoints import columns
from balancing.endpoints.access import Access
from balancing.endpoints.columns import UnreadableColumn
from balancing.endpoints.target import Target as Target
from balancing.models import SUPPORTED, Endpoint, served_apis
from balancing.prices import prices_of, wrong_prices
from llmqueue_project.config import configuration
from stores.memory import Aged, remembered
from stores.row_reader import RowReader

log = structlog.get_logger(__name__)
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
JSON = frozenset({"model_names", "apis", "extra_headers", "model_aliases", "prices"})
# JSON is read as text. If the driver parsed it, one unreadable row would fail the whole query.
_SELECTED = ", ".join(f"{name}::text" if name in JSON else name for name in COLUMNS)
ENDPOINTS = f"select {_SELECTED} from balancing_endpoint where discover = '' order by id"  # noqa: S608
# Their members are called, and come and go; the groups themselves stay.
GROUPS = f"select {_SELECTED} from balancing_endpoint where discover <> '' order by id"  # noqa: S608


def _read(values: tuple[Any, ...]) -> Target:
    row = dict(zip(COLUMNS, values, strict=True))
    row |= {name: columns.parsed(row, name) for name in JSON}
    target = _target(row)
    if len(target.prices) < len(row["prices"]):
        log.error("price.set_aside", endpoint=target.name, reason=wrong_prices(row["prices"]))
        return replace(target, lacks_prices=True)
    return target


class TargetReader(RowReader[Target]):
    """Makes targets of the rows of `ENDPOINTS`; logs a row once that cannot be read."""

    def __init__(self) -> None:
        super().__init__(
            _read, event="endpoint.set_aside", kind="endpoint", name_at=COLUMNS.index("name")
        )


def _target(row: Mapping[str, Any]) -> Target:
    """
    Raises:
        UnreadableColumn
    """
    kind = columns.one_of(row, "kind", SUPPORTED)
    return Target(
        id=row["id"],
        name=row["name"],
        base_url=columns.url(row, "base_url"),
        model_names=frozenset(columns.texts(row, "model_names")),
        api_key_variable=row["api_key_variable"],
        weight=columns.weight(row, "weight"),
        max_concurrent=columns.slots(row, "max_concurrent"),
        state=columns.one_of(row, "state", Endpoint.State.values),
        apis=served_apis(kind, columns.texts(row, "apis")) & EVERY_API,
        requests_per_minute=row["requests_per_minute"],
        tokens_per_minute=row["tokens_per_minute"],
        host=columns.host(row, "host"),
        model_aliases=columns.text_by_text(row, "model_aliases"),
        prices=prices_of(columns.mapping(row, "prices")),
        access=Access(
            kind=kind,
            api_version=columns.header(row, "api_version"),
            encrypted_credential=row["encrypted_credential"],
            extra_headers=columns.headers(row, "extra_headers"),
            ca_bundle=columns.certificates(row, "ca_bundle"),
            verify_tls=row["verify_tls"],
            proxy_url=columns.url(row, "proxy_url") if row["proxy_url"] else "",
            connect_timeout=columns.seconds(row, "connect_timeout"),
            first_token_timeout=columns.seconds(row, "first_token_timeout"),
            stall_timeout=columns.seconds(row, "stall_timeout"),
            total_timeout=columns.seconds(row, "total_timeout"),
        ),
    )


def target_of(endpoint: Endpoint) -> Target:
    """A row, saved or not, as a target.

    Raises:
        UnreadableColumn
    """
    return _target({name: getattr(endpoint, name) for name in COLUMNS} | {"id": endpoint.pk or 0})


def unreadable(endpoint: Endpoint) -> str:
    """Why a row cannot be used for calls; empty if it can."""
    try:
        target_of(endpoint)
    except UnreadableColumn as error:
        return str(error)
    return ""


def apis_of(model: str, declared: Iterable[Target]) -> frozenset[str]:
    """The APIs by which a model may be asked for; none if nobody has declared it.

    Whether an endpoint takes work now does not matter: that passes, and requests wait for it.

    Args:
        declared: endpoints, and groups, which may have no members at the moment.
    """
    apis = [each.apis for each in declared if model in each.model_names]
    return frozenset[str]().union(*apis)


def model_names(endpoints: Iterable[Target]) -> list[str]:
    """Every model that an endpoint serves which is not disabled.

    Models of the oldest endpoint come first: a client that takes the first one gets the default.
    """
    names: dict[str, None] = {}
    for endpoint in endpoints:
        if endpoint.state != Endpoint.State.DISABLED:
            names |= dict.fromkeys(sorted(endpoint.model_names))
    return list(names)


class KnownEndpoints:
    """The endpoints, read by Django's connection, at most `registry_seconds` old."""

    _statement = ENDPOINTS

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        seconds = configuration().balancing.registry_seconds
        self._reader = TargetReader()
        self._known: Aged[tuple[Target, ...]] = Aged(seconds, clock=clock)

    def current(self) -> tuple[Target, ...]:
        return self._known.current(self._read)

    def expire(self) -> None:
        """Have the next call read the rows again, because one has changed."""
        self._known.expire()

    def _read(self) -> tuple[Target, ...]:
        with connection.cursor() as cursor:
            cursor.execute(self._statement)
            return tuple(self._reader.read(cursor.fetchall()))


class KnownGroups(KnownEndpoints):
    """The groups, likewise."""

    _statement = GROUPS


def known_endpoints() -> tuple[Target, ...]:
    """The endpoints as the kept memory has them; read from the database without one."""
    return remembered(KnownEndpoints).current()


def expire() -> None:
    """Have the rows read again, because one has changed."""
    remembered(KnownEndpoints).expire()
    remembered(KnownGroups).expire()


def default_model() -> str:
    """The model of a chat that names none: the setting, else the first of the oldest endpoint."""
    configured = configuration().default_model
    if configured:
        return configured
    usable = (e for e in known_endpoints() if e.state != Endpoint.State.DISABLED)
    offered = (e for e in usable if "chat" in e.apis and e.model_names)
    oldest = next(offered, None)
    return min(oldest.model_names) if oldest else ""


def known_models(api: str = "") -> list[str]:
    """The models that clients may ask for; with `api`, those served by this API."""
    return model_names(e for e in known_endpoints() if not api or api in e.apis)


def declared_apis(model: str) -> frozenset[str]:
    """The APIs by which clients may ask for a model, served at this moment or not."""
    return apis_of(model, (*known_endpoints(), *remembered(KnownGroups).current()))
