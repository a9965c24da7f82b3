"""Which endpoints does the configuration declare, in its `endpoints` section or in a file?

Applying the same entries again changes nothing. Each entry's row is marked as managed by the file.
A field that an entry leaves out gets its default, except the state: that of operators stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import structlog
import yaml
from django.core.exceptions import ValidationError
from django.db import connection, models, transaction

from balancing import services
from balancing.models import Endpoint
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)

# A file's name of a field -> the model's, where they differ.
NAMES = {"models": "model_names"}
ManagedBy = Endpoint.ManagedBy
MOVES = {
    Endpoint.State.ENABLED.value: services.enable,
    Endpoint.State.DRAINING.value: services.drain,
    Endpoint.State.DISABLED.value: services.disable,
}
# What YAML must give for a field; nothing is converted: `yes` is no number, and "4" is none.
TYPES: tuple[tuple[type[models.Field[Any, Any]], tuple[type, ...], str], ...] = (
    (models.BooleanField, (bool,), "true or false"),
    (models.IntegerField, (int,), "a whole number"),
    (models.FloatField, (int, float), "a number"),
    (models.CharField, (str,), "text"),
    (models.TextField, (str,), "text"),
)
# Two workers that start together apply one after the other.
LOCK = 0x6C6C6D64  # "llmd"


class DeclarationError(Exception):
    """The entries cannot be applied, and nothing was changed. The text names entry and field."""


class Action(StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    PRUNED = "pruned"
    # Only an earlier file declared it, and it was not to be pruned.
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one endpoint, and to which of its fields."""

    action: Action
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
    """Apply the endpoints of the configuration.

    A mistake in them is logged and stops no worker: one in an entry leaves out that entry.
    """
    config = configuration()
    try:
        path = config.endpoints_file
        entries = read(path) if path else config.endpoints
        if not entries:
            return []
        changes = apply(entries, prune=config.endpoints_prune, tolerant=True)
    except DeclarationError as error:
        log.error("endpoints.not_applied", error=str(error))
        return []
    for change in changes:
        if change.action not in (Action.UNCHANGED, Action.LEFT):
            log.info("endpoints.applied", action=change.action, endpoint=change.name)
    return changes


def apply(
    entries: Sequence[Any], *, prune: bool = False, dry_run: bool = False, tolerant: bool = False
) -> list[Change]:
    """Register these endpoints; with `prune`, delete others that an earlier file declared.

    Args:
        tolerant: log a wrong entry and apply the others; nothing is pruned then, because a wrong
            entry may be one of those that were declared before.

    Raises:
        DeclarationError: an entry is not valid; nothing was changed.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        named: set[str] = set()
        changes = []
        for number, entry in enumerate(entries, 1):
            try:
                _name(number, entry, named)
                with transaction.atomic():
                    changes.append(_apply_one(number, entry))
            except DeclarationError as error:
                if not tolerant:
                    raise
                prune = False
                log.error("endpoint.not_applied", error=str(error))
        changes += _undeclared(named, prune)
        transaction.set_rollback(dry_run)
    return changes


def _name(number: int, entry: Any, named: set[str]) -> None:
    """Add the entry's name to those before it."""
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise DeclarationError(f"endpoint {number}: a mapping with a name")
    if entry["name"] in named:
        raise DeclarationError(f"endpoint {number}: {entry['name']} is named twice")
    named.add(entry["name"])


def _apply_one(number: int, entry: Mapping[str, Any]) -> Change:
    where = f"endpoint {number} ({entry['name']})"
    known = _declarable()
    values = {NAMES.get(name, name): value for name, value in entry.items() if name != "name"}
    if unknown := sorted(map(str, values.keys() - known.keys() - {"state"})):
        raise DeclarationError(f"{where}: unknown: {', '.join(unknown)}")
    state = values.pop("state", None)
    for name, value in values.items():
        _check_type(where, name, value)
    if state is not None and not (isinstance(state, str) and state in MOVES):
        raise DeclarationError(f"{where}: state: one of {', '.join(MOVES)}")
    row = Endpoint.objects.filter(name=entry["name"]).first()
    if row is not None and row.managed_by == ManagedBy.DNS:
        raise DeclarationError(f"{where}: is a member of the group {row.group}")
    values = known | values | {"managed_by": ManagedBy.FILE.value}
    if row is not None and values.get("discover_models") and "models" not in entry:
        # Discovery has found them.
        values["model_names"] = row.model_names
    changed = _different(row, values, state)
    if row is not None and not changed:
        return Change(Action.UNCHANGED, row.name)
    saved = _registered(where, entry["name"], values)
    if state is not None and saved.state != state:
        MOVES[state](endpoint_id=saved.pk)
    return Change(Action.CHANGED if row else Action.ADDED, saved.name, changed if row else ())


def _check_type(where: str, name: str, value: Any) -> None:
    field = Endpoint._meta.get_field(name)
    if value is None:
        return
    for kind, types, wanted in TYPES:
        if isinstance(field, kind):
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise DeclarationError(f"{where}: {name}: Enter {wanted}")
            return


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


def _undeclared(named: set[str], prune: bool) -> list[Change]:
    """Rows that only an earlier file declared: deleted with `prune`, else only reported."""
    rows = Endpoint.objects.filter(managed_by=ManagedBy.FILE).exclude(name__in=named)
    changes = [Change(Action.PRUNED if prune else Action.LEFT, row.name) for row in rows]
    if prune:
        for row in rows:
            services.delete(endpoint_id=row.pk)
    return changes
