"""`/endpoints`: the servers that requests run on; operators only."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from balancing import services as balancing
from balancing.endpoints.registry import unreadable
from balancing.fitting.shown import lessons_lately
from balancing.models import Endpoint, served_apis
from conversations.doors.rest.answers import occupancy, render
from conversations.doors.rest.openapi import operator_shapes, shapes
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields, rows

# What clients call a field, where the model has another name for it.
NAMES = {"models": "model_names"}
CLIENT_NAMES = {model: client for client, model in NAMES.items()}
CHANGEABLE = (
    "base_url",
    "models",
    "api_key_variable",
    "weight",
    "max_concurrent",
    "kind",
    "apis",
    "api_version",
    "extra_headers",
    "ca_bundle",
    "verify_tls",
    "proxy_url",
    "connect_timeout",
    "first_token_timeout",
    "stall_timeout",
    "total_timeout",
    "requests_per_minute",
    "tokens_per_minute",
    "model_aliases",
    "prices",
    "discover",
    "discover_models",
)


def shown(row: Endpoint) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "base_url": row.base_url,
        "models": row.model_names,
        "api_key_variable": row.api_key_variable,
        "credential": _described(row),
        "kind": row.kind,
        "apis": _apis(row),
        "api_version": row.api_version,
        "extra_headers": row.extra_headers,
        "ca_bundle": row.ca_bundle,
        "verify_tls": row.verify_tls,
        "proxy_url": row.proxy_url,
        "connect_timeout": _finite(row.connect_timeout),
        "first_token_timeout": _finite(row.first_token_timeout),
        "stall_timeout": _finite(row.stall_timeout),
        "total_timeout": _finite(row.total_timeout),
        "requests_per_minute": row.requests_per_minute,
        "tokens_per_minute": row.tokens_per_minute,
        "weight": _finite(row.weight),
        "max_concurrent": row.max_concurrent,
        "state": row.state,
        "model_aliases": row.model_aliases,
        "prices": row.prices,
        "discover": row.discover,
        "discover_models": row.discover_models,
        "managed_by": row.managed_by,
        "group_id": row.group_id,
        "vanished_at": render.instant(row.vanished_at),
        "refreshed_at": render.instant(row.refreshed_at),
        "refresh_error": row.refresh_error,
        "refused_fields": [
            {
                "field": lesson.field,
                "model": lesson.model,
                "since": render.instant(datetime.fromtimestamp(lesson.since, UTC)),
                "text": lesson.text,
            }
            for lesson in lessons_lately(row.pk)
        ],
        "created_at": render.instant(row.created_at),
        "updated_at": render.instant(row.updated_at),
    }


def _apis(row: Endpoint) -> Any:
    """The APIs that it serves; if the row cannot be read, what its column holds."""
    return row.apis if unreadable(row) else sorted(served_apis(row.kind, row.apis))


def _finite(value: float | None) -> float | None:
    """JSON has no other numbers, and only a row that cannot be read has one."""
    return None if value is None or not math.isfinite(value) else value


class Endpoints(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="register_endpoint",
        request=operator_shapes.Endpoint,
        responses={201: shapes.enveloped(operator_shapes.Endpoint), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Register an endpoint; workers know it within seconds."""
        document = self.document
        values = {"base_url": "", "models": []} | _named(document, CHANGEABLE)
        values["state"] = _state(document) or Endpoint.State.ENABLED
        name = fields.line(document.get("name"), "name", 64)
        if Endpoint.objects.filter(name=name).exists():
            raise _taken()
        given = _credential(document)
        row = _stored(lambda: balancing.register(name=name, credential=given, **_renamed(values)))
        return success(shown(row), 201)

    @extend_schema(
        operation_id="list_endpoints",
        responses={200: shapes.page_of(operator_shapes.Endpoint), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The endpoints by name."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(Endpoint.objects.order_by("name"), request)
        return pages.get_paginated_response([shown(row) for row in page])


class OneEndpoint(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="change_endpoint",
        request=operator_shapes.Endpoint,
        responses={200: shapes.enveloped(operator_shapes.Endpoint), **shapes.REFUSALS},
    )
    def patch(self, _request: Request, endpoint_id: int) -> Response:
        """Change the fields that the body names; `state` drains, enables or disables it."""
        document = self.document
        row = _find(endpoint_id)
        values = _renamed(_named(document, CHANGEABLE))
        given = _credential(document)
        state = _state(document)
        with transaction.atomic():
            _stored(lambda: balancing.change(row, values, credential=given, restated=document))
            if state:
                MOVES[state](endpoint_id=endpoint_id)
        return success(shown(_find(endpoint_id)))

    @extend_schema(
        operation_id="delete_endpoint",
        responses={200: shapes.enveloped(shapes.Deleted), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, endpoint_id: int) -> Response:
        """Forget an endpoint; requests that run on it finish."""
        row = _find(endpoint_id)
        balancing.delete(endpoint_id=row.pk)
        return success({"id": endpoint_id, "deleted": True})


class RefusedFields(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="forget_refused_fields",
        responses={200: shapes.enveloped(operator_shapes.Forgotten), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, endpoint_id: int) -> Response:
        """Send an endpoint again the fields that it has refused."""
        row = _find(endpoint_id)
        count = balancing.forget_refused_fields(endpoint_id=row.pk)
        return success({"id": endpoint_id, "forgotten": count})


class EndpointStats(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="get_endpoint_stats",
        responses={200: shapes.enveloped(shapes.ANYTHING, "EndpointStats"), **shapes.REFUSALS},
    )
    def get(self, _request: Request) -> Response:
        """Slots in use, and outcomes of the last hour, by endpoint."""
        return success({"items": occupancy.of_endpoints()})


MOVES: dict[str, Callable[..., None]] = {
    Endpoint.State.ENABLED: balancing.enable,
    Endpoint.State.DRAINING: balancing.drain,
    Endpoint.State.DISABLED: balancing.disable,
}


def _find(endpoint_id: int) -> Endpoint:
    return rows.find(Endpoint.objects.all(), endpoint_id, "endpoint")


def _taken() -> RestError:
    return RestError(Code.CONFLICT, "an endpoint of that name exists", field="name")


def _stored(change: Callable[[], Endpoint]) -> Endpoint:
    return rows.stored(change, taken=_taken(), names=CLIENT_NAMES)


def _credential(document: dict[str, Any]) -> str | balancing.Keep | None:
    """The credential to store; null or an empty one removes the stored one."""
    if "credential" not in document:
        return balancing.Keep.KEEP
    given = document["credential"]
    if given is not None and not isinstance(given, str):
        raise RestError(Code.MALFORMED_BODY, "must be text or null", field="credential")
    return given


def _described(row: Endpoint) -> dict[str, Any]:
    return {
        "is_set": bool(row.encrypted_credential),
        "set_at": render.instant(row.credential_set_at) if row.credential_set_at else None,
        "ends_in": row.credential_ending or None,
    }


def _named(document: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    return {NAMES.get(name, name): value for name, value in values.items()}


def _state(document: dict[str, Any]) -> str:
    if "state" not in document:
        return ""
    return fields.one_of(document["state"], list(Endpoint.State.values), "state")
