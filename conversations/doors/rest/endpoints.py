"""`/endpoints`: the servers that answer; operators only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from balancing import services as balancing
from balancing.endpoints.registry import unreadable
from balancing.models import Endpoint, served_apis
from conversations.doors.rest import fields, occupancy, render, shapes
from conversations.doors.rest.authentication import IsOperator
from conversations.doors.rest.envelope import Resource, success
from conversations.doors.rest.errors import ApiError, Code
from conversations.doors.rest.pagination import EnvelopePagination

LARGEST_ID = 2**63 - 1
# What a client calls a field, where the model calls it otherwise.
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
        "created_at": render.instant(row.created_at),
        "updated_at": render.instant(row.updated_at),
    }


def _apis(row: Endpoint) -> Any:
    """Those that it serves; what its column holds where the row cannot be read."""
    return row.apis if unreadable(row) else sorted(served_apis(row.kind, row.apis))


def _finite(value: float | None) -> float | None:
    """JSON has no other numbers; only a row that cannot be read has one."""
    return None if value is None or not math.isfinite(value) else value


class Endpoints(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="register_endpoint",
        request=shapes.Endpoint,
        responses={201: shapes.enveloped(shapes.Endpoint), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Register an endpoint; workers know it within seconds."""
        document = self.document
        values = {"base_url": "", "models": []} | _named(document, CHANGEABLE)
        values["state"] = _state(document) or Endpoint.State.ENABLED
        name = fields.line(document.get("name"), "name", 64)
        if Endpoint.objects.filter(name=name).exists():
            raise ApiError(Code.CONFLICT, "an endpoint of that name exists", field="name")
        given = _credential(document)
        row = valid(lambda: balancing.register(name=name, credential=given, **_renamed(values)))
        return success(shown(row), 201)

    @extend_schema(
        operation_id="list_endpoints",
        responses={200: shapes.page_of(shapes.Endpoint), **shapes.REFUSALS},
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
        request=shapes.Endpoint,
        responses={200: shapes.enveloped(shapes.Endpoint), **shapes.REFUSALS},
    )
    def patch(self, _request: Request, endpoint_id: int) -> Response:
        """Change the fields that the body names; `state` drains, enables or disables it."""
        document = self.document
        row = _find(endpoint_id)
        values = _renamed(_named(document, CHANGEABLE))
        given = _credential(document)
        state = _state(document)
        with transaction.atomic():
            row = valid(lambda: balancing.change(row, values, credential=given, restated=document))
            if state:
                MOVES[state](endpoint_id=row.pk)
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
    row = Endpoint.objects.filter(pk=endpoint_id).first() if endpoint_id <= LARGEST_ID else None
    if row is None:
        raise ApiError(Code.NOT_FOUND, "there is no such endpoint", field="id")
    return row


def _credential(document: dict[str, Any]) -> str | balancing.Keep | None:
    """The credential to store: write-only; null or empty takes the stored one out."""
    if "credential" not in document:
        return balancing.Keep.KEEP
    given = document["credential"]
    if given is not None and not isinstance(given, str):
        raise ApiError(Code.MALFORMED_BODY, "must be text or null", field="credential")
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


def valid(change: Callable[[], Endpoint], names: Mapping[str, str] = CLIENT_NAMES) -> Endpoint:
    """The model's own validation, as a refusal of this door.

    Args:
        names: what a client calls a field of the model, where it calls it otherwise.
    """
    try:
        with transaction.atomic():
            return change()
    except ValidationError as error:
        field, reasons = next(iter(error.message_dict.items()))
        raise ApiError(
            Code.MALFORMED_BODY, " ".join(reasons), field=names.get(field, field)
        ) from None
    except (TypeError, ValueError):
        raise ApiError(Code.MALFORMED_BODY, "a field has a value of the wrong type") from None
    except IntegrityError:
        raise ApiError(Code.CONFLICT, "an endpoint of that name exists", field="name") from None
