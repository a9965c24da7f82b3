"""`/admin/preprocessor`: rules that set priorities, users' default priorities; operators only."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.access.users import set_default_priority
from conversations.doors.rest.answers import render
from conversations.doors.rest.openapi import operator_shapes, parameters, shapes
from conversations.doors.rest.protocol.authentication import IsOperator
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.protocol.pagination import EnvelopePagination
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields, filters, rows, rule_fields
from conversations.models import PriorityRule
from conversations.priority import rules

# What clients call a field, where the model has another name for it.
NAMES = {"type": "kind", "keywords": "words", "priority": "level"}
CLIENT_NAMES = {model: client for client, model in NAMES.items()} | {"tenant": "tenant_id"}
BODY = frozenset(rule_fields.READERS)
REQUIRED = ("name", "type", "priority")


def shown(row: PriorityRule) -> dict[str, Any]:
    return {
        "id": row.pk,
        "name": row.name,
        "order": row.order,
        "enabled": row.enabled,
        "tenant_id": str(row.tenant_id) if row.tenant_id else None,
        "type": row.kind,
        "keywords": row.words.splitlines(),
        "pattern": row.pattern,
        "min_chars": row.min_chars,
        "max_chars": row.max_chars,
        "metadata_key": row.metadata_key,
        "metadata_value": row.metadata_value,
        "priority": str(row.get_level_display()),
        "created_at": render.instant(row.created_at),
        "updated_at": render.instant(row.updated_at),
    }


class PriorityRules(Resource):
    permission_classes = [IsOperator]
    body_fields = {"POST": BODY}
    query_fields = {"GET": filters.PAGES}

    @extend_schema(
        operation_id="create_priority_rule",
        request=operator_shapes.PriorityRule,
        responses={201: shapes.enveloped(operator_shapes.PriorityRule), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Add a rule; it counts within seconds, for requests that name no priority."""
        document = self.document
        for name in REQUIRED:
            if name not in document:
                raise RestError(Code.MALFORMED_BODY, "is required", field=name)
        return success(shown(_stored(PriorityRule(), document)), 201)

    @extend_schema(
        operation_id="list_priority_rules",
        parameters=parameters.PAGES,
        responses={200: shapes.page_of(operator_shapes.PriorityRule), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The rules in order: the first that matches decides."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(PriorityRule.objects.order_by("order", "pk"), request)
        return pages.get_paginated_response([shown(row) for row in page])


class OnePriorityRule(Resource):
    permission_classes = [IsOperator]
    body_fields = {"PATCH": BODY}

    @extend_schema(
        operation_id="get_priority_rule",
        responses={200: shapes.enveloped(operator_shapes.PriorityRule), **shapes.REFUSALS},
    )
    def get(self, _request: Request, rule_id: int) -> Response:
        return success(shown(_find(rule_id)))

    @extend_schema(
        operation_id="change_priority_rule",
        request=operator_shapes.PriorityRule,
        responses={200: shapes.enveloped(operator_shapes.PriorityRule), **shapes.REFUSALS},
    )
    def patch(self, _request: Request, rule_id: int) -> Response:
        """Change the fields that the body names; another `type` drops the condition it had."""
        return success(shown(_stored(_find(rule_id), self.document)))

    @extend_schema(
        operation_id="delete_priority_rule",
        responses={200: shapes.enveloped(shapes.Deleted), **shapes.REFUSALS},
    )
    def delete(self, _request: Request, rule_id: int) -> Response:
        _find(rule_id).delete()
        return success({"id": rule_id, "deleted": True})


class UserPriorities(Resource):
    permission_classes = [IsOperator]
    body_fields = {"POST": frozenset({"user_id", "priority", "tenant_id"})}

    @extend_schema(
        operation_id="set_user_priority",
        request=operator_shapes.UserPriority,
        responses={200: shapes.enveloped(operator_shapes.UserPriority), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Set a user's default priority, or clear it with null; a new user is created."""
        document = self.document
        name = fields.user_id(document.get("user_id"))
        if name is None:
            raise RestError(Code.INVALID_USER_ID, "is required", field="user_id")
        if "priority" not in document:
            raise RestError(Code.INVALID_PRIORITY, "is required; null clears it", field="priority")
        level = fields.priority(document["priority"])
        tenant_id = rule_fields.tenant_id(document.get("tenant_id")) or self.caller.tenant_id
        set_default_priority(tenant_id=tenant_id, external_id=name, level=level)
        label = level.label if level is not None else None
        return success({"user_id": name, "tenant_id": str(tenant_id), "priority": label})


def _find(rule_id: int) -> PriorityRule:
    return rows.find(PriorityRule.objects.all(), rule_id, "rule")


def _stored(row: PriorityRule, document: dict[str, Any]) -> PriorityRule:
    for name, value in document.items():
        setattr(row, NAMES.get(name, name), rule_fields.READERS[name](value))
    _check_kind(row, document)
    try:
        with transaction.atomic():
            row.full_clean()
            row.save()
    except ValidationError as error:
        raise _refusal(row, error) from None
    except IntegrityError:
        raise RestError(Code.CONFLICT, "a rule of that name exists", field="name") from None
    return row


def _check_kind(row: PriorityRule, document: dict[str, Any]) -> None:
    """Refuse a part of another kind's condition: it would be dropped without a word."""
    for kind, parts in rules.KINDS.items():
        for part in parts:
            name = CLIENT_NAMES.get(part, part)
            if kind != row.kind and document.get(name) not in (None, "", []):
                raise RestError(
                    Code.MALFORMED_BODY, f"belongs to rules of type {kind} only", field=name
                )


def _refusal(row: PriorityRule, error: ValidationError) -> RestError:
    field, reasons = next(iter(error.message_dict.items()))
    same_name = PriorityRule.objects.filter(name=row.name).exclude(pk=row.pk)
    code = Code.MALFORMED_BODY
    if field == "name" and same_name.exists():
        code = Code.CONFLICT
    return RestError(code, " ".join(reasons), field=CLIENT_NAMES.get(field, field))
