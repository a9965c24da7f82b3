"""What was used and spent, summed up over folded days and the entries that are not folded yet?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db import connection

from scheduling.statements import FOLD_USAGE
from stores.postgres import Connections, fetch

MOST_ENTRIES = 20_000
KEYS = {
    "day": "day",
    "tenant": "tenant_id",
    "user": "user_id",
    "model": "model",
    "endpoint": "endpoint",
}
_SUMS = ("requests", "estimated_requests", "prompt_tokens", "completion_tokens", "spent_micros")


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which usage: whole days of UTC, both included; None means every tenant, or every user."""

    first: date
    last: date
    tenant_id: UUID | None = None
    user_id: UUID | None = None


async def fold(connections: Connections) -> int:
    """Fold all entries into their days; how many there were."""
    folded = 0
    while True:
        count: int = (await fetch(connections, FOLD_USAGE, {"limit": MOST_ENTRIES}))[0][0]
        folded += count
        if count < MOST_ENTRIES:
            return folded


def totals(span: Span, group_by: Sequence[str], *, limit: int = 1000) -> list[dict[str, Any]]:
    """The sums by some of `KEYS`, dearest first; grouped by day alone, in the order of the days.

    Each row has its keys by their names in `KEYS`, and requests, estimated_requests, prompt_tokens,
    completion_tokens and spent_micros (millionths of the currency).
    """
    values = {
        "first": span.first,
        "last": span.last,
        "tenant_id": span.tenant_id,
        "user_id": span.user_id,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(_statement(span, group_by), values)
        rows = cursor.fetchall()
    return [dict(zip([*group_by, *_SUMS], row, strict=True)) for row in rows]


def total(span: Span) -> dict[str, Any]:
    """The sums over everything in the span."""
    return totals(span, ())[0]


def _statement(span: Span, group_by: Sequence[str]) -> str:
    """Sums over both tables; names of columns come from this module alone."""
    names = [KEYS[key] for key in group_by]
    chosen = ", ".join([*names, *_SUMS])
    where = "day between %(first)s and %(last)s"
    if span.tenant_id is not None:
        where += " and tenant_id = %(tenant_id)s"
    if span.user_id is not None:
        where += " and user_id = %(user_id)s"
    tables = ("scheduling_dailyusage", "scheduling_usageentry")
    union = " union all ".join(f"select {chosen} from {table} where {where}" for table in tables)  # noqa: S608
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint as {name}" for name in _SUMS)
    columns = ", ".join([*names, sums])
    grouped = f" group by {', '.join(names)}" if names else ""
    order = "day" if list(group_by) == ["day"] else "spent_micros desc, requests desc"
    return f"select {columns} from ({union}) u{grouped} order by {order} limit %(limit)s"  # noqa: S608
