"""`/endpoints`: the servers that requests run on; operators only."""

from __future__ import annotations

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
from conversations.doors.rest.openapi import operator_shapes, parameters, shapes
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields, filters, rows
from conversations.doors.rest.requests.endpoint_fields import (
    CLIENT_NAMES,
    ENDPOINT,
    LONGEST_CREDENTIAL,
    read,
)

BODY = frozenset({*ENDPOINT, "credential", "state"})


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
        "connect_timeout": render.finite(row.connect_timeout),
        "first_token_timeout": render.finite(row.first_token_timeout),
        "stall_timeout": render.finite(row.stall_timeout),
        "total_timeout": render.finite(row.total_timeout),
        "requests_per_minute": row.requests_per_minute,
        "tokens_per_minute": row.tokens_per_minute,
        "weight": render.finite(row.weight),
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


class Endpoints(Resource):
    permission_classes = [IsOperator]
    body_fields = {"POST": BODY}
    query_fields = {"GET": filters.PAGES}

    @extend_schema(
        operation_id="register_endpoint",
        request=operator_shapes.Endpoint,
        responses={201: shapes.enveloped(operator_shapes.Endpoint), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Register an endpoint; workers know it within seconds."""
        document = self.document
        values = {"name": "", "base_url": "", "model_names": []} | read(document, ENDPOINT)
        values["state"] = _state(document) or Endpoint.State.ENABLED
        _check_name(Endpoint(), values["name"])
        given = _credential(document)
        row = _stored(lambda: balancing.register(credential=given, **values))
        return success(shown(row), 201)

    @extend_schema(
        operation_id="list_endpoints",
        parameters=parameters.PAGES,
        responses={200: shapes.page_of(operator_shapes.Endpoint), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The endpoints by name."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(Endpoint.objects.order_by("name"), request)
        return pages.get_paginated_response([shown(row) for row in page])


class OneEndpoint(Resource):
    permission_classes = [IsOperator]
    body_fields = {"PATCH": BODY}

    @extend_schema(
        operation_id="change_endpoint",
        request=operator_shapes.Endpoint,
        responses={200: shapes.enveloped(operator_shapes.Endpoint), **shapes.REFUSALS},
    )
    def patch(self, _request: Request, endpoint_id: int) -> Response:
        """Change the fields that the body names; `state` drains, enables or disables it."""
        document = self.document
        row = _find(endpoint_id)
        values = read(document, ENDPOINT)
        _check_name(row, values.get("name", row.name))
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


def _check_name(row: Endpoint, name: str) -> None:
    """Refuse another row's name, and another name than the one its file or group gives a row."""
    if name != row.name and row.managed_by:
        raise RestError(Code.CONFLICT, f"is given by its {row.managed_by}", field="name")
    if Endpoint.objects.filter(name=name).exclude(pk=row.pk).exists():
        raise _taken()


def _taken() -> RestError:
    return RestError(Code.CONFLICT, "an endpoint of that name exists", field="name")


def _stored(change: Callable[[], Endpoint]) -> Endpoint:
    return rows.stored(change, taken=_taken(), names=CLIENT_NAMES)


def _credential(document: dict[str, Any]) -> str | balancing.Keep | None:
    """The credential to store; null or an empty one removes the stored one."""
    if "credential" not in document:
        return balancing.Keep.KEEP
    given = document["credential"]
    if given is None:
        return None
    return fields.own_text(given, "credential", LONGEST_CREDENTIAL)


def _described(row: Endpoint) -> dict[str, Any]:
    return {
        "is_set": bool(row.encrypted_credential),
        "set_at": render.instant(row.credential_set_at) if row.credential_set_at else None,
        "ends_in": row.credential_ending or None,
    }


def _state(document: dict[str, Any]) -> str:
    if "state" not in document:
        return ""
    return fields.one_of(document["state"], list(Endpoint.State.values), "state")
