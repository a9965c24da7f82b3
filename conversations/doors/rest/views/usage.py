"""`/usage`: requests, tokens and money by day, tenant, user, model or endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.access.keys import Caller
from conversations.access.users import bound_to
from conversations.doors.rest.openapi import operator_shapes, shapes
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields
from conversations.models import Tenant, User
from llmqueue_project.config import configuration
from scheduling import usage
from scheduling.usage import KEYS, Span

LONGEST = timedelta(days=366)
DEFAULT = timedelta(days=29)
MOST_ROWS = 1000
MICROS = 1_000_000


class Usage(Resource):
    query_fields = {"GET": frozenset({"group_by", "from", "to", "tenant_id", "user_id"})}

    @extend_schema(
        operation_id="get_usage",
        summary="Requests, tokens and cost",
        parameters=[
            OpenApiParameter(
                "group_by",
                OpenApiTypes.STR,
                description=f"some of {', '.join(KEYS)}, with commas; `day` unless named",
            ),
            OpenApiParameter("from", OpenApiTypes.DATE, description="30 days ago unless named"),
            OpenApiParameter("to", OpenApiTypes.DATE, description="included; today unless named"),
            OpenApiParameter("tenant_id", OpenApiTypes.UUID, description="operators only"),
            OpenApiParameter("user_id", OpenApiTypes.STR, description="your own name for the user"),
        ],
        responses={200: shapes.enveloped(operator_shapes.UsageReport), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """What was used and spent, by whole days of UTC; a client sees its own tenant's."""
        query = request.query_params
        group_by = _group_by(query.get("group_by", "day"))
        first, last = _days(query.get("from"), query.get("to"))
        tenant_id = _tenant(self.caller, query.get("tenant_id"))
        span = Span(
            first=first,
            last=last,
            tenant_id=tenant_id,
            user_id=_user(self.caller, tenant_id, query.get("user_id")),
        )
        rows = usage.totals(span, group_by, limit=MOST_ROWS + 1)
        names = _names(rows)
        return success(
            {
                "from": first.isoformat(),
                "to": last.isoformat(),
                "currency": configuration().currency,
                "items": [shown(row, group_by, names) for row in rows[:MOST_ROWS]],
                "truncated": len(rows) > MOST_ROWS,
                "total": shown(usage.total(span), (), names),
            }
        )


def shown(
    row: dict[str, Any], group_by: Sequence[str], names: Mapping[UUID, str]
) -> dict[str, Any]:
    """A row of `usage.totals` as JSON, with names beside ids and money in the currency's units."""
    keys: dict[str, Any] = {}
    for key in group_by:
        value = row[key]
        if key == "tenant":
            keys |= {"tenant_id": value, "tenant": names.get(value)}
        elif key == "user":
            keys["user_id"] = names.get(value)
        else:
            keys[key] = value
    return keys | {
        "requests": row["requests"],
        "estimated_requests": row["estimated_requests"],
        "prompt_tokens": row["prompt_tokens"],
        "completion_tokens": row["completion_tokens"],
        "total_tokens": row["prompt_tokens"] + row["completion_tokens"],
        "cost": row["spent_micros"] / MICROS,
    }


def _group_by(text: str) -> list[str]:
    wanted = text.split(",")
    for key in wanted:
        fields.one_of(key, list(KEYS), "group_by")
    return list(dict.fromkeys(wanted))


def _days(first: str | None, last: str | None) -> tuple[date, date]:
    end = _day(last, "to") or datetime.now(UTC).date()
    start = _day(first, "from") or max(date.min + DEFAULT, end) - DEFAULT
    if start > end:
        raise RestError(Code.MALFORMED_BODY, "must not be after `to`", field="from")
    if end - start > LONGEST:
        raise RestError(
            Code.MALFORMED_BODY, f"must be at most {LONGEST.days} days before `to`", field="from"
        )
    return start, end


def _day(text: str | None, field: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise RestError(
            Code.MALFORMED_BODY, "must be a date such as 2027-01-31", field=field
        ) from None


def _tenant(caller: Caller, text: str | None) -> UUID | None:
    """Whose usage: a client's own tenant, an operator's choice, or every tenant (None)."""
    if text is None:
        return None if caller.operator else caller.tenant_id
    try:
        wanted = UUID(text)
    except ValueError:
        raise RestError(
            Code.MALFORMED_BODY, "must be the id of a tenant", field="tenant_id"
        ) from None
    if not caller.operator and wanted != caller.tenant_id:
        raise RestError(Code.FORBIDDEN, "this key sees only its own tenant", field="tenant_id")
    return wanted


def _user(caller: Caller, tenant_id: UUID | None, text: str | None) -> UUID | None:
    bound = bound_to(caller)
    if text is None:
        return bound
    name = fields.without_nul(text, "user_id")
    tenant = tenant_id or caller.tenant_id
    found = User.objects.filter(tenant_id=tenant, external_id=name).first()
    if found is None or bound not in (None, found.pk):
        raise RestError(Code.NOT_FOUND, "there is no such user", field="user_id")
    return found.pk


def _names(rows: list[dict[str, Any]]) -> dict[UUID, str]:
    """The names of the tenants and users of these rows."""
    tenants = {row["tenant"] for row in rows if row.get("tenant")}
    users = {row["user"] for row in rows if row.get("user")}
    names: dict[UUID, str] = dict(Tenant.objects.filter(pk__in=tenants).values_list("pk", "name"))
    return names | dict(User.objects.filter(pk__in=users).values_list("pk", "external_id"))
