"""`/model-pools`: how requests for some models are balanced; operators only."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from balancing import services as balancing
from balancing.models import ModelPool
from conversations.doors.rest.answers import render
from conversations.doors.rest.openapi import operator_shapes, parameters, shapes
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import filters, rows
from conversations.doors.rest.requests.endpoint_fields import MODEL_POOL, read

BODY = frozenset(MODEL_POOL)
TIMEOUTS = ("first_token_timeout", "stall_timeout")


def shown(row: ModelPool) -> dict[str, Any]:
    return {
        "id": row.pk,
        "pattern": row.pattern,
        "profile": row.profile,
        "fallback_models": row.fallback_models,
        "hedging": row.hedging,
        **{name: render.finite(getattr(row, name)) for name in TIMEOUTS},
        "created_at": render.instant(row.created_at),
        "updated_at": render.instant(row.updated_at),
    }


class ModelPools(Resource):
    permission_classes = [IsOperator]
    body_fields = {"POST": BODY}
    query_fields = {"GET": filters.PAGES}

    @extend_schema(
        operation_id="create_model_pool",
        request=operator_shapes.ModelPool,
        responses={201: shapes.enveloped(operator_shapes.ModelPool), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Balance requests for some models in a way of their own; workers know within seconds."""
        return success(shown(_stored(ModelPool(), self.document)), 201)

    @extend_schema(
        operation_id="list_model_pools",
        parameters=parameters.PAGES,
        responses={200: shapes.page_of(operator_shapes.ModelPool), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The pools by pattern; of those that match a model the longest pattern counts."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(ModelPool.objects.order_by("pattern"), request)
        return pages.get_paginated_response([shown(row) for row in page])


class OneModelPool(Resource):
    permission_classes = [IsOperator]
    body_fields = {"PATCH": BODY}

    @extend_schema(
        operation_id="change_model_pool",
        request=operator_shapes.ModelPool,
        responses={200: shapes.enveloped(operator_shapes.ModelPool), **shapes.REFUSALS},
    )
    def patch(self, _request: Request, pool_id: int) -> Response:
        """Change the fields that the body names."""
        return success(shown(_stored(_find(pool_id), self.document)))

    @extend_schema(
        operation_id="delete_model_pool",
        responses={200: shapes.enveloped(shapes.Deleted), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, pool_id: int) -> Response:
        """Balance these models as the settings say."""
        _find(pool_id).delete()
        return success({"id": pool_id, "deleted": True})


def _find(pool_id: int) -> ModelPool:
    return rows.find(ModelPool.objects.all(), pool_id, "pool")


def _stored(row: ModelPool, document: dict[str, Any]) -> ModelPool:
    values = read(document, MODEL_POOL)
    others = ModelPool.objects.exclude(pk=row.pk)
    if "pattern" in values and others.filter(pattern=values["pattern"]).exists():
        raise _taken()
    return rows.stored(lambda: balancing.change_model_pool(row, values), taken=_taken())


def _taken() -> RestError:
    return RestError(Code.CONFLICT, "a pool of that pattern exists", field="pattern")
