"""Which priority level does a request get, and why that one?

In this order: a level that was asked for (a field, a header, the conversation's), the first rule
that matches, the user's default, the tenant's default. The tenant's highest level caps the result.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from conversations.priority import rules
from conversations.priority.rules import Rule, Subject
from scheduling.models import Priority

# OpenAI's words for priority. Its other tiers, and those of other providers, name no level.
SERVICE_TIERS = {"priority": Priority.HIGH, "flex": Priority.LOW}
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


class UnknownPriority(ValueError):
    """`field` names what the client sent."""

    def __init__(self, field: str, value: object) -> None:
        known = [*SERVICE_TIERS] if field == "service_tier" else Priority.labels
        # Only text is repeated: printing a deeply nested value could fail.
        shown = repr(value[:40]) if isinstance(value, str) else "that is no text"
        super().__init__(f"unknown {field} {shown}: one of {', '.join(known)}")
        self.field = field


@dataclass(frozen=True, slots=True)
class Asked:
    """A level that was asked for, and by what: `body priority`, `header X-Priority`."""

    level: Priority
    by: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What holds for a tenant and its user, whatever the request says."""

    user_default: Priority | None
    tenant_default: Priority
    highest: Priority


@dataclass(frozen=True, slots=True)
class Choice:
    """The level that a request gets; the reason is stored with its job and shown."""

    level: Priority
    reason: str


def asked_level(body: Mapping[str, Any], header: str) -> Asked | None:
    """The level that a request names: body `priority`, header `X-Priority`, `service_tier`.

    A number names none: `priority` is also a field of vLLM's. A tier that is not OpenAI's names
    none either.

    Raises:
        UnknownPriority: it names one that does not exist.
    """
    for field, where, value in (
        ("priority", "body", body.get("priority")),
        ("X-Priority", "header", header),
    ):
        if not _names_none(value):
            try:
                level = Priority.named(value.strip().lower() if isinstance(value, str) else "")
            except ValueError:
                raise UnknownPriority(field, value) from None
            return Asked(level, f"{where} {field}")
    return _asked_tier(body.get("service_tier"))


def _names_none(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip() or _NUMBER.fullmatch(value.strip()) is not None
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _asked_tier(tier: Any) -> Asked | None:
    if not isinstance(tier, str):
        return None
    level = SERVICE_TIERS.get(tier.strip().lower())
    return Asked(level, f"service_tier {tier.strip().lower()}") if level is not None else None


def choose(
    asked: Asked | None,
    *,
    applying: Sequence[Rule],
    about: Callable[[], Subject],
    standing: Standing,
) -> Choice:
    """The level of a request.

    Args:
        applying: the rules for the request's tenant, in order.
        about: makes what rules match; called only if a rule is evaluated.
    """
    wish = _wish(asked, applying, about, standing)
    if wish.level >= standing.highest:
        return wish
    return Choice(standing.highest, f"{wish.reason}; capped from {wish.level.label} by tenant")


def _wish(
    asked: Asked | None,
    applying: Sequence[Rule],
    about: Callable[[], Subject],
    standing: Standing,
) -> Choice:
    if asked is not None:
        return Choice(asked.level, f"asked: {asked.by}")
    rule = rules.first(applying, about()) if applying else None
    if rule is not None:
        return Choice(Priority(rule.level), f"rule: {rule.name}")
    if standing.user_default is not None:
        return Choice(standing.user_default, "user default")
    return Choice(standing.tenant_default, "tenant default")
