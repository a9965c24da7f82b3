"""What does an operator say of a priority rule? Its fields, checked one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from conversations.doors import text
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields
from conversations.models import Tenant
from conversations.priority import rules
from scheduling.models import Priority


def _name(value: Any) -> str:
    name = fields.line(value, "name", 100)
    if not name.strip():
        raise RestError(Code.MALFORMED_BODY, "is required", field="name")
    return name


def _level(value: Any) -> Priority:
    level = fields.priority(value)
    if level is None:
        raise RestError(Code.INVALID_PRIORITY, "is required", field="priority")
    return level


def _words(value: Any) -> str:
    if value is None:
        return ""
    one_line = isinstance(value, list) and all(
        isinstance(word, str)
        and len(word.splitlines()) == 1
        and word.strip()
        and text.is_storable(word)
        for word in value
    )
    if not one_line:
        raise RestError(Code.MALFORMED_BODY, "must be a list of words or phrases", field="keywords")
    return "\n".join(word.strip() for word in value)


def _pattern(value: Any) -> str:
    return "" if value is None else fields.own_text(value, "pattern", rules.LONGEST_PATTERN)


def tenant_id(value: Any) -> UUID | None:
    """The id of a tenant that exists; None if none is named."""
    if value is None:
        return None
    try:
        found = Tenant.objects.filter(pk=UUID(value)).first() if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise RestError(Code.MALFORMED_BODY, "there is no such tenant", field="tenant_id")
    return found.pk


READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "order": lambda value: fields.whole(value, "order"),
    "enabled": lambda value: fields.flag(value, "enabled"),
    "tenant_id": tenant_id,
    "type": lambda value: fields.one_of(value, list(rules.KINDS), "type"),
    "keywords": _words,
    "pattern": _pattern,
    "min_chars": lambda value: None if value is None else fields.whole(value, "min_chars"),
    "max_chars": lambda value: None if value is None else fields.whole(value, "max_chars"),
    "metadata_key": lambda value: fields.line(value, "metadata_key", 100),
    "metadata_value": lambda value: fields.line(value, "metadata_value", 200),
    "priority": _level,
}
