"""Which members does a DNS group have? One row for each address of its name.

When an address vanishes, its row drains: it gets no new requests, and is deleted when nothing runs
there any more. If the address returns before that, the row takes work again and keeps its
measurements and its history.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from balancing import outbound
from balancing.discovery.resolver import Address, ResolutionFailed
from balancing.live.occupancy import slots_in_use
from balancing.models import Endpoint
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)

State = Endpoint.State
DEFAULT_PORTS = {"http": 80, "https": 443}
NAME_CHARS = 64
# A member has these fields of its own. It inherits all others from its group.
_OWN = frozenset(
    {"id", "name", "base_url", "host", "group", "state", "discover", "managed_by"}
    | {"vanished_at", "refresh_at", "refreshed_at", "refresh_error", "created_at", "updated_at"}
)
# A vanished row is deleted after this time, even if calls still run there.
LONGEST_DRAIN = timedelta(hours=1)


def name_and_port(group: Endpoint) -> tuple[str, int]:
    """What to look up for a group.

    Raises:
        ResolutionFailed: its base URL is not valid; it was not stored through this project.
    """
    try:
        parts = urlsplit(group.base_url)
        return parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    except (ValueError, KeyError):
        raise ResolutionFailed("the base URL is not one of http or https") from None


def update_members(group_id: int, addresses: Iterable[Address]) -> bool:
    """Give a group one member for each address; returns whether anything changed."""
    with transaction.atomic():
        group = Endpoint.objects.select_for_update().filter(pk=group_id).first()
        if group is None or group.discover != Endpoint.Discover.DNS:
            return False
        present = {member.base_url: member for member in group.members.all()}
        wanted = {_url(group, address): address for address in _callable(group, addresses)}
        changed = False
        for url, address in wanted.items():
            changed |= _update_member(group, url, address, present.get(url))
        gone = [member for url, member in present.items() if url not in wanted]
        return _mark_vanished(gone) or changed


def _callable(group: Endpoint, addresses: Iterable[Address]) -> list[Address]:
    """The addresses that may be called, by the rule for URLs that operators enter.

    A connection to another address would be refused, but not a connection that a proxy makes.
    """
    if configuration().balancing.allow_link_local:
        return list(addresses)
    found = []
    for address in addresses:
        if refusal := outbound.refusal_of_host(address.ip):
            log.warning("discovery.refused", group=group.name, reason=refusal)
        else:
            found.append(address)
    return found


def mark_orphans_vanished() -> bool:
    """Mark members as vanished whose endpoint is no longer a group; returns whether any was."""
    members = Endpoint.objects.filter(group__isnull=False, vanished_at__isnull=True)
    return _mark_vanished(members.exclude(group__discover=Endpoint.Discover.DNS))


def delete_vanished(*, linger_seconds: float) -> int:
    """Delete vanished members where nothing runs any more; returns how many."""
    now = timezone.now()
    gone = list(
        Endpoint.objects.filter(
            group__isnull=False, vanished_at__lte=now - timedelta(seconds=linger_seconds)
        )
    )
    used = slots_in_use([member.pk for member in gone])
    idle = [
        member.pk
        for member in gone
        if used.get(member.pk) == 0 or (member.vanished_at or now) <= now - LONGEST_DRAIN
    ]
    if not idle:
        return 0
    # Asked again, because an address may have returned meanwhile.
    deleted, _ = Endpoint.objects.filter(pk__in=idle, vanished_at__isnull=False).delete()
    log.info("discovery.deleted", endpoints=len(idle))
    return deleted


def _update_member(group: Endpoint, url: str, address: Address, member: Endpoint | None) -> bool:
    values = _inherited(group)
    if member is None:
        log.info("discovery.appeared", group=group.name, url=url)
        Endpoint.objects.create(
            name=_name(group, address),
            group=group,
            base_url=url,
            managed_by=Endpoint.ManagedBy.DNS,
            state=group.state,
            **values,
        )
        return True
    if group.discover_models:
        # Each member has a list of models of its own.
        values.pop("model_names")
    if member.vanished_at is not None:
        log.info("discovery.returned", group=group.name, url=url)
        values |= {"vanished_at": None, "state": group.state}
    changes = {name: value for name, value in values.items() if getattr(member, name) != value}
    if changes:
        Endpoint.objects.filter(pk=member.pk).update(**changes, updated_at=timezone.now())
    return bool(changes)


def _mark_vanished(members: Iterable[Endpoint]) -> bool:
    present = [member.pk for member in members if member.vanished_at is None]
    if present:
        log.info("discovery.vanished", endpoints=len(present))
        Endpoint.objects.filter(pk__in=present).update(
            state=State.DRAINING, vanished_at=timezone.now(), updated_at=timezone.now()
        )
    return bool(present)


def _inherited(group: Endpoint) -> dict[str, Any]:
    fields = Endpoint._meta.concrete_fields
    values = {f.attname: getattr(group, f.attname) for f in fields if f.name not in _OWN}
    return values | {"host": _host(group)}


def _host(group: Endpoint) -> str:
    """The Host header of members: certificates and virtual servers use the group's name."""
    host, port = name_and_port(group)
    while host.startswith("_"):
        # Service and protocol of an SRV name are not part of the host's name.
        host = host.partition(".")[2]
    return host if port in DEFAULT_PORTS.values() else f"{host}:{port}"


def _url(group: Endpoint, address: Address) -> str:
    parts = urlsplit(group.base_url)
    return parts._replace(netloc=address.netloc).geturl()


def _name(group: Endpoint, address: Address) -> str:
    plain = "".join(c if c.isalnum() else "-" for c in f"{address.ip}-{address.port}")
    name = f"{group.name}-{plain}"
    if len(name) > NAME_CHARS or Endpoint.objects.filter(name=name).exists():
        digest = hashlib.sha256(f"{group.pk} {address.netloc}".encode()).hexdigest()[:12]
        name = f"{group.name[: NAME_CHARS - 13]}-{digest}"
    return name


def set_state_of_members(group_id: int, state: str) -> None:
    """Give all present members of a group the group's state."""
    members = Endpoint.objects.filter(group_id=group_id, vanished_at__isnull=True)
    members.exclude(state=state).update(state=state, updated_at=timezone.now())


def refresh_soon(endpoint_id: int) -> None:
    """Have an endpoint, or a group and its members, refreshed at once, not when it is due."""
    Endpoint.objects.filter(Q(pk=endpoint_id) | Q(group_id=endpoint_id)).update(refresh_at=None)
