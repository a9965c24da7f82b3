"""What was used and spent, by day, tenant and model: a page of admin, and a CSV file."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from balancing.admin.listing import ReadOnlyAdmin
from conversations.models import Tenant, User
from llmqueue_project.config import configuration
from scheduling import usage
from scheduling.models import DailyUsage
from scheduling.usage import KEYS, Span

SPANS = (7, 30, 90, 365)
SHOWN_ROWS = 50
CSV_ROWS = 100_000
MICROS = 1_000_000
SUMS = ("requests", "estimated_requests", "prompt_tokens", "completion_tokens", "spent_micros")
HEADERS = ("Requests", "Estimated", "Tokens in", "Tokens out")


@admin.register(DailyUsage)
class CostsAdmin(ReadOnlyAdmin):
    """One page of sums in place of a list of rows."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        days = _days(request.GET.get("days", ""))
        tenant = _tenant(request.GET.get("tenant", ""))
        span = last(days, tenant_id=tenant.pk if tenant else None)
        if request.GET.get("format") == "csv":
            return _download(span)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Costs of {tenant.name}" if tenant else "Costs",
            "opts": self.opts,
            "spans": [(n, _query(n, tenant), n == days) for n in SPANS],
            "csv": f"{_query(days, tenant)}&format=csv",
            "everybody": _query(days, None) if tenant else "",
            "total": _total(span),
            "chart": json.dumps(_chart(span)),
            "tables": _tables(span, days, tenant),
        }
        return TemplateResponse(request, "conversations/costs.html", context)


def last(days: int, *, tenant_id: UUID | None = None, user_id: UUID | None = None) -> Span:
    """The span of the last days in UTC, today included."""
    today = datetime.now(UTC).date()
    first = today - timedelta(days=days - 1)
    return Span(first=first, last=today, tenant_id=tenant_id, user_id=user_id)


def shown_total(span: Span, page: str = "") -> str:
    """One line about a span, with a link to the page of its costs."""
    found = usage.total(span)
    text = (
        f"{money(found['spent_micros'])} for {found['requests']:,} requests, "
        f"{found['prompt_tokens']:,} tokens in, {found['completion_tokens']:,} out"
    )
    return format_html('<a href="{}">{}</a>', page, text) if page else text


def money(micros: int) -> str:
    """An amount in the currency: cents, or as many digits as a small one needs."""
    digits = 2 if micros == 0 or abs(micros) >= 100_000 else 6
    return f"{micros / MICROS:,.{digits}f} {configuration().currency}"


def page_of(tenant: Tenant) -> str:
    return reverse("admin:scheduling_dailyusage_changelist") + _query(30, tenant)


def _query(days: int, tenant: Tenant | None) -> str:
    return "?" + urlencode({"days": days, **({"tenant": tenant.pk} if tenant else {})})


def _days(text: str) -> int:
    return int(text) if text in map(str, SPANS) else 30


def _tenant(text: str) -> Tenant | None:
    try:
        return Tenant.objects.filter(pk=UUID(text)).first()
    except ValueError:
        return None


def _total(span: Span) -> list[tuple[str, str]]:
    found = usage.total(span)
    return [
        ("Cost", money(found["spent_micros"])),
        ("Requests", f"{found['requests']:,}"),
        ("of which estimated", f"{found['estimated_requests']:,}"),
        ("Tokens in", f"{found['prompt_tokens']:,}"),
        ("Tokens out", f"{found['completion_tokens']:,}"),
    ]


def _chart(span: Span) -> dict[str, Any]:
    """Money by day; days without any are included."""
    spent = {row["day"]: row["spent_micros"] / MICROS for row in usage.totals(span, ["day"])}
    length = (span.last - span.first).days + 1
    days = [span.first + timedelta(days=n) for n in range(length)]
    return {
        "labels": [f"{day:%d %b}" for day in days],
        "datasets": [
            {
                "label": configuration().currency,
                "data": [spent.get(day, 0) for day in days],
                "backgroundColor": "var(--color-primary-600)",
            }
        ],
    }


def _tables(span: Span, days: int, tenant: Tenant | None) -> list[tuple[str, dict[str, Any]]]:
    by = [("Day", "day"), ("Model", "model"), ("Endpoint", "endpoint")]
    by.insert(1, ("User", "user") if tenant else ("Tenant", "tenant"))
    return [(f"By {title.lower()}", _table(span, title, key, days)) for title, key in by]


def _table(span: Span, title: str, key: str, days: int) -> dict[str, Any]:
    rows = usage.totals(span, [key], limit=366 if key == "day" else SHOWN_ROWS)
    names = _names(rows, key)
    if key == "day":
        rows.reverse()
    return {
        "headers": [title, *HEADERS, f"Cost ({configuration().currency})"],
        "rows": [
            [
                _label(key, row[key], names, days),
                *(f"{row[name]:,}" for name in SUMS[:-1]),
                money(row["spent_micros"]).rpartition(" ")[0],
            ]
            for row in rows
        ],
    }


def _names(rows: Sequence[dict[str, Any]], key: str) -> dict[Any, str]:
    identifiers = {row[key] for row in rows if row[key] is not None}
    if key == "tenant":
        return dict(Tenant.objects.filter(pk__in=identifiers).values_list("pk", "name"))
    if key == "user":
        return dict(User.objects.filter(pk__in=identifiers).values_list("pk", "external_id"))
    return {}


def _label(key: str, value: Any, names: dict[Any, str], days: int) -> str:
    if isinstance(value, date):
        return value.isoformat()
    if key == "tenant" and value in names:
        query = urlencode({"days": days, "tenant": value})
        return format_html('<a href="?{}">{}</a>', query, names[value])
    return names.get(value, "none" if value is None else str(value))


def _download(span: Span) -> HttpResponse:
    """All sums as CSV: a row for each day, tenant, user, model and endpoint."""
    rows = usage.totals(span, list(KEYS), limit=CSV_ROWS)
    tenants, users = _names(rows, "tenant"), _names(rows, "user")
    response = HttpResponse(content_type="text/csv; charset=utf-8")
    name = f"costs-{span.first}-{span.last}.csv"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    writer = csv.writer(response)
    writer.writerow([*KEYS, *SUMS[:-1], f"cost_{configuration().currency.lower()}"])
    for row in rows:
        keys = [
            row["day"],
            tenants.get(row["tenant"], row["tenant"]),
            users.get(row["user"], row["user"]),
            row["model"],
            row["endpoint"],
        ]
        sums = [row[each] for each in SUMS[:-1]]
        writer.writerow([*map(_plain, keys), *sums, f"{row['spent_micros'] / MICROS:.6f}"])
    return response


def _plain(value: Any) -> str:
    """Text that a spreadsheet does not take for a formula; names come from clients."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
