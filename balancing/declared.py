"""Endpoints from a configuration file: the `endpoints` section, or a file of its own.

Applying is idempotent and says what it did. A row that a file made is marked so; what the file
leaves out has its default, but for the state, which stays as operators have set it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import yaml
from django.core.exceptions import ValidationError
from django.db import connection, transaction

from balancing import services
from balancing.models import Endpoint
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)

# What a file calls a field, where the model calls it otherwise.
NAMES = {"models": "model_names"}
ManagedBy = Endpoint.ManagedBy
MOVES = {
    Endpoint.State.ENABLED.value: services.enable,
    Endpoint.State.DRAINING.value: services.drain,
    Endpoint.State.DISABLED.value: services.disable,
}
# Two workers that start together apply one after the other.
LOCK = 0x6C6C6D64  # "llmd"


class DeclarationError(Exception):
    """The file cannot be applied; nothing was changed. The text names entry and field."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one endpoint: added, changed, unchanged, pruned or left."""

    action: str
    name: str
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.action:10}{self.name}" + (f" ({', '.join(self.fields)})" * bool(self.fields))


def read(path: Path) -> list[dict[str, Any]]:
    """The endpoints of a YAML file: a list, or a mapping whose `endpoints` is one.

    Raises:
        DeclarationError
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DeclarationError(f"{path}: {error}") from None
    entries = document.get("endpoints") if isinstance(document, dict) else document
    if not isinstance(entries, list):
        raise DeclarationError(f"{path}: a list of endpoints, or `endpoints:` and a list")
    return entries


def apply_configured() -> list[Change]:
    """Apply what the configuration names; a mistake in it is logged and stops no worker."""
    config = configuration()
    try:
        path = config.endpoints_file
        entries = read(path) if path else config.endpoints
        if not entries:
            return []
        changes = apply(entries, prune=config.endpoints_prune)
    except DeclarationError as error:
        log.error("endpoints.not_applied", error=str(error))
        return []
    for change in changes:
        if change.action in ("added", "changed", "pruned"):
            log.info("endpoints.applied", action=change.action, endpoint=change.name)
    return changes


def apply(entries: Sequence[Any], *, prune: bool = False, dry_run: bool = False) -> list[Change]:
    """Have these endpoints; with `prune`, none that an earlier file made beside them.

    Raises:
        DeclarationError: an entry is not valid; nothing was changed.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        _unique(entries)
        changes = [_apply_one(number, entry) for number, entry in enumerate(entries, 1)]
        changes += _rest({entry["name"] for entry in entries}, prune)
        transaction.set_rollback(dry_run)
    return changes


def _unique(entries: Sequence[Any]) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise DeclarationError(f"endpoint {number}: a mapping with a name")
        if entry["name"] in seen:
            raise DeclarationError(f"endpoint {number}: {entry['name']} is named twice")
        seen.add(entry["name"])


def _apply_one(number: int, entry: Mapping[str, Any]) -> Change:
    where = f"endpoint {number} ({entry['name']})"
    known = _declarable()
    values = {NAMES.get(name, name): value for name, value in entry.items() if name != "name"}
    if unknown := sorted(map(str, values.keys() - known.keys() - {"state"})):
        raise DeclarationError(f"{where}: unknown: {', '.join(unknown)}")
    state = values.pop("state", None)
    if state is not None and not (isinstance(state, str) and state in MOVES):
        raise DeclarationError(f"{where}: state: one of {', '.join(MOVES)}")
    row = Endpoint.objects.filter(name=entry["name"]).first()
    if row is not None and row.managed_by == ManagedBy.DNS:
        raise DeclarationError(f"{where}: is a member of the group {row.group}")
    values = known | values | {"managed_by": ManagedBy.FILE.value}
    if row is not None and values.get("discover_models") and "models" not in entry:
        # Found meanwhile.
        values["model_names"] = row.model_names
    changed = _different(row, values, state)
    if row is not None and not changed:
        return Change("unchanged", row.name)
    saved = _registered(where, entry["name"], values)
    if state is not None and saved.state != state:
        MOVES[state](endpoint_id=saved.pk)
    return Change("changed" if row else "added", saved.name, changed if row else ())


def _declarable() -> dict[str, Any]:
    """The fields that a file may set, with their defaults."""
    own = {"name", "state"}
    return {
        field.name: field.get_default()
        for field in Endpoint._meta.concrete_fields
        if field.editable and not field.primary_key and field.name not in own
    }


def _different(
    row: Endpoint | None, values: Mapping[str, Any], state: str | None
) -> tuple[str, ...]:
    if row is None:
        return ()
    names = [name for name, value in values.items() if getattr(row, name) != value]
    if state is not None and row.state != state:
        names.append("state")
    return tuple(sorted(names))


def _registered(where: str, name: str, values: Mapping[str, Any]) -> Endpoint:
    try:
        return services.register(name=name, **values)
    except ValidationError as error:
        field, reasons = next(iter(error.message_dict.items()))
        shown = next((ours for ours, theirs in NAMES.items() if theirs == field), field)
        raise DeclarationError(f"{where}: {shown}: {' '.join(reasons)}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise DeclarationError(f"{where}: {error}") from None


def _rest(named: set[str], prune: bool) -> list[Change]:
    """Rows that an earlier file made: deleted with `prune`, else only told of."""
    rows = Endpoint.objects.filter(managed_by=ManagedBy.FILE).exclude(name__in=named)
    changes = [Change("pruned" if prune else "left", row.name) for row in rows]
    if prune:
        for row in rows:
            services.delete(endpoint_id=row.pk)
    return changes
