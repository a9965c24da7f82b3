"""`/resources`: the capacity that requests run on: how much there is, is used and is free.

A resource is an endpoint, seen by its slots. Each present member of a DNS group is a resource.
Adding a resource registers an endpoint with `total` as its `max_concurrent`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from balancing import services as balancing
from balancing.endpoints.registry import unreadable
from balancing.live.occupancy import slots_in_use
from balancing.models import Endpoint
from conversations.doors.rest.openapi import operator_shapes, parameters, shapes
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields, filters, rows
from conversations.doors.rest.requests.endpoint_fields import CLIENT_NAMES, ENDPOINT, read

TYPE = "llm_endpoint"
State = Endpoint.State
READERS = {name: ENDPOINT[name] for name in ("name", "base_url", "models")} | {
    "total": partial(fields.whole, field="total", least=1)
}


class Resources(Resource):
    permission_classes = [IsOperator]
    body_fields = {"POST": frozenset({"type", "name", "base_url", "models", "total"})}
    query_fields = {"GET": filters.PAGES}

    @extend_schema(
        operation_id="list_resources",
        parameters=parameters.PAGES,
        responses={200: shapes.page_of(operator_shapes.Resource), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """Every resource and its slots, by name; null where Valkey cannot be asked."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(_endpoints(), request)
        used = slots_in_use([row.pk for row in page])
        return pages.get_paginated_response([_shown(row, used.get(row.pk)) for row in page])

    @extend_schema(
        operation_id="add_resource",
        request=operator_shapes.Resource,
        responses={201: shapes.enveloped(operator_shapes.Resource), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Add an LLM endpoint with `total` slots; workers use it within seconds."""
        document = self.document
        fields.one_of(document.get("type", TYPE), [TYPE], "type")
        values = {"name": "", "base_url": "", "model_names": []} | read(document, READERS)
        if Endpoint.objects.filter(name=values["name"]).exists():
            raise _taken()
        if "total" in values:
            values["max_concurrent"] = values.pop("total")
        row = rows.stored(
            lambda: balancing.register(**values),
            taken=_taken(),
            names={**CLIENT_NAMES, "max_concurrent": "total"},
        )
        return success(_shown(row, 0), 201)


class ResourceStats(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="get_resource_stats",
        responses={200: shapes.enveloped(shapes.ANYTHING, "ResourceStats"), **shapes.REFUSALS},
    )
    def get(self, _request: Request) -> Response:
        """Slots altogether and by model; a slot counts for every model that may use it."""
        endpoints = list(_endpoints())
        used = slots_in_use([row.pk for row in endpoints])
        working = [row for row in endpoints if row.state == State.ENABLED and not unreadable(row)]
        models = sorted({name for row in working for name in row.model_names})
        by_model = [
            {"model": name, **_sums([r for r in working if name in r.model_names], used)}
            for name in models
        ]
        states = {state: sum(row.state == state for row in endpoints) for state in State.values}
        return success({**_sums(working, used), "resources": states, "models": by_model})


def _taken() -> RestError:
    return RestError(Code.CONFLICT, "a resource of that name exists", field="name")


def _endpoints() -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(discover="").order_by("name")


def _shown(row: Endpoint, used: int | None) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "type": TYPE,
        "models": row.model_names,
        "status": row.state,
        **_capacity(row.max_concurrent, used, takes_work=row.state == State.ENABLED),
    }


def _sums(endpoints: list[Endpoint], used: dict[int, int]) -> dict[str, Any]:
    known = len(used) >= len(endpoints)
    in_use = sum(used.get(row.pk, 0) for row in endpoints) if known else None
    return _capacity(sum(row.max_concurrent for row in endpoints), in_use, takes_work=True)


def _capacity(total: int, used: int | None, *, takes_work: bool) -> dict[str, Any]:
    """Slots in all, in use and free; none is free where no new work is taken."""
    if used is None:
        return {"total": total, "used": None, "available": None, "utilisation": None}
    return {
        "total": total,
        "used": used,
        "available": max(0, total - used) if takes_work else 0,
        "utilisation": round(used / total, 4) if total else 0.0,
    }
