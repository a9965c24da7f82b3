"""How are groups and lists of models refreshed while everything runs?

Any worker does the work, and each row is refreshed by one worker at a time. A conditional UPDATE
moves the row's `refresh_at` forward before the network is asked, so that no lock is held meanwhile.
If the worker dies then, the row is refreshed one interval later. A failure changes nothing: a name
server or an endpoint that does not answer says nothing about who serves which model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.db import connection
from django.utils import timezone

from balancing.discovery import membership
from balancing.discovery.resolver import Address, ResolutionFailed, Resolver, SystemResolver
from balancing.discovery.upstream_models import HttpLister, Lister, ListingFailed, public_names
from balancing.endpoints import registry
from balancing.endpoints.columns import UnreadableColumn
from balancing.models import Endpoint
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)

# The first round looks up groups; the second asks their new members for models.
ROUNDS = 2
DUE = """
update balancing_endpoint e
   set refresh_at = now() + make_interval(
           secs => case when e.discover = 'dns' then %(dns)s else %(models)s end)
 where e.id in (
        select id from balancing_endpoint
         where (discover = 'dns' or discover_models) and state <> 'disabled'
           and vanished_at is null and (refresh_at is null or refresh_at <= now())
         order by refresh_at nulls first limit 256
           for update skip locked)
returning e.id
"""


@dataclass(frozen=True, slots=True)
class _Found:
    """Addresses by group, names of models by endpoint, reasons of failures by either."""

    addresses: dict[int, list[Address]] = field(default_factory=dict)
    names: dict[int, list[str]] = field(default_factory=dict)
    failures: dict[int, str] = field(default_factory=dict)


def run_due(resolver: Resolver | None = None, lister: Lister | None = None) -> int:
    """Refresh the groups and endpoints that are due; returns how many were asked.

    Call it from a thread: it waits for the network and uses Django's connection.
    """
    settings = configuration().discovery
    resolver = resolver or SystemResolver(
        family=settings.dns_addresses, timeout_seconds=settings.timeout_seconds
    )
    lister = lister or HttpLister(timeout_seconds=settings.timeout_seconds)
    asked, changed = 0, membership.mark_orphans_vanished()
    for _ in range(ROUNDS):
        rows = _take_due()
        if not rows:
            break
        asked += len(rows)
        found = asyncio.run(_ask(rows, resolver, lister))
        changed |= _apply(rows, found)
    changed |= bool(membership.delete_vanished(linger_seconds=settings.linger_seconds))
    if changed:
        registry.expire()
    return asked


def _take_due() -> list[Endpoint]:
    settings = configuration().discovery
    with connection.cursor() as cursor:
        cursor.execute(DUE, {"dns": settings.dns_seconds, "models": settings.models_seconds})
        identifiers = [row[0] for row in cursor.fetchall()]
    return list(Endpoint.objects.filter(pk__in=identifiers))


async def _ask(rows: Sequence[Endpoint], resolver: Resolver, lister: Lister) -> _Found:
    found = _Found()

    async def note(identifier: int, place: dict[int, Any], asking: Awaitable[Any]) -> None:
        try:
            place[identifier] = await asking
        except (ResolutionFailed, ListingFailed) as error:
            found.failures[identifier] = str(error)[:300]

    async def addresses(group: Endpoint) -> list[Address]:
        return await resolver.resolve(*membership.name_and_port(group))

    async def names(server: Endpoint) -> list[str]:
        try:
            return await lister.names(registry.target_of(server))
        except UnreadableColumn as error:
            raise ListingFailed(f"its row cannot be read: {error}") from None

    await asyncio.gather(
        *(
            note(row.pk, found.addresses, addresses(row))
            if row.discover
            else note(row.pk, found.names, names(row))
            for row in rows
        )
    )
    return found


def _apply(rows: Sequence[Endpoint], found: _Found) -> bool:
    changed = False
    for row in rows:
        failure = found.failures.get(row.pk, "")
        if failure:
            log.warning("discovery.failed", endpoint=row.name, error=failure)
        Endpoint.objects.filter(pk=row.pk).update(
            refreshed_at=row.refreshed_at if failure else timezone.now(), refresh_error=failure
        )
        if row.pk in found.addresses:
            changed |= membership.update_members(row.pk, found.addresses[row.pk])
        elif row.pk in found.names:
            changed |= _update_models(row, found.names[row.pk])
    return changed


def _update_models(row: Endpoint, upstream: list[str]) -> bool:
    names = public_names(upstream, row.model_aliases)
    if names == sorted(row.model_names):
        return False
    came, went = set(names) - set(row.model_names), set(row.model_names) - set(names)
    log.info("discovery.models", endpoint=row.name, came=sorted(came), went=sorted(went))
    # Unless an operator has changed the row meanwhile; then the next refresh decides.
    still = Endpoint.objects.filter(pk=row.pk, discover_models=True, base_url=row.base_url)
    return bool(still.update(model_names=names, updated_at=timezone.now()))
