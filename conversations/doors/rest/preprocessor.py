"""`/admin/preprocessor`: rules that set priorities, and users' default priorities; operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.access import users as people
from conversations.doors.rest import fields, render, shapes
from conversations.doors.rest.authentication import IsOperator
from conversations.doors.rest.envelope import Resource, success
from conversations.doors.rest.errors import ApiError, Code
from conversations.doors.rest.pagination import EnvelopePagination
from conversations.models import PriorityRule, Tenant
from conversations.priority import rules
from scheduling.models import Priority

LARGEST_ID = 2**63 - 1
LARGEST_NUMBER = 2**31 - 1
# What a client calls a field, where the model calls it otherwise.
NAMES = {"type": "kind", "keywords": "words", "priority": "level"}
CLIENT_NAMES = {model: client for client, model in NAMES.items()} | {"tenant": "tenant_id"}
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

    @extend_schema(
        operation_id="create_priority_rule",
        request=shapes.PriorityRule,
        responses={201: shapes.enveloped(shapes.PriorityRule), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Add a rule; it counts within seconds, for requests that name no priority."""
        document = self.document
        for name in REQUIRED:
            if name not in document:
                raise ApiError(Code.MALFORMED_BODY, "required", field=name)
        return success(shown(_stored(PriorityRule(), document)), 201)

    @extend_schema(
        operation_id="list_priority_rules",
        responses={200: shapes.page_of(shapes.PriorityRule), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """The rules in order: the first that matches decides."""
        pages = EnvelopePagination()
        page = pages.paginate_queryset(PriorityRule.objects.order_by("order", "pk"), request)
        return pages.get_paginated_response([shown(row) for row in page])


class OnePriorityRule(Resource):
    permission_classes = [IsOperator]

    @extend_schema(
        operation_id="get_priority_rule",
        responses={200: shapes.enveloped(shapes.PriorityRule), **shapes.REFUSALS},
    )
    def get(self, _request: Request, rule_id: int) -> Response:
        return success(shown(_find(rule_id)))

    @extend_schema(
        operation_id="change_priority_rule",
        request=shapes.PriorityRule,
        responses={200: shapes.enveloped(shapes.PriorityRule), **shapes.REFUSALS},
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

    @extend_schema(
        operation_id="set_user_priority",
        request=shapes.UserPriority,
        responses={200: shapes.enveloped(shapes.UserPriority), **shapes.REFUSALS},
    )
    def post(self, _request: Request) -> Response:
        """Set a user's default priority, or clear it with null; a new user is created."""
        document = self.document
        name = fields.user_id(document.get("user_id"))
        if name is None:
            raise ApiError(Code.INVALID_USER_ID, "required", field="user_id")
        if "priority" not in document:
            raise ApiError(Code.INVALID_PRIORITY, "required; null clears it", field="priority")
        level = fields.priority(document["priority"])
        tenant_id = _tenant_id(document.get("tenant_id")) or self.caller.tenant_id
        people.set_default_priority(tenant_id=tenant_id, external_id=name, level=level)
        label = level.label if level is not None else None
        return success({"user_id": name, "tenant_id": str(tenant_id), "priority": label})


def _find(rule_id: int) -> PriorityRule:
    row = PriorityRule.objects.filter(pk=rule_id).first() if rule_id <= LARGEST_ID else None
    if row is None:
        raise ApiError(Code.NOT_FOUND, "there is no such rule", field="id")
    return row


def _stored(row: PriorityRule, document: dict[str, Any]) -> PriorityRule:
    for name in document:
        if name not in READERS:
            raise ApiError(Code.MALFORMED_BODY, f"one of {', '.join(READERS)}", field=name)
    for name, value in document.items():
        setattr(row, NAMES.get(name, name), READERS[name](value))
    _check_kind(row, document)
    try:
        with transaction.atomic():
            row.full_clean()
            row.save()
    except ValidationError as error:
        raise _refusal(row, error) from None
    except IntegrityError:
        raise ApiError(Code.CONFLICT, "a rule of that name exists", field="name") from None
    return row


def _check_kind(row: PriorityRule, document: dict[str, Any]) -> None:
    """A part of another kind's condition would be dropped: say so."""
    for kind, parts in rules.KINDS.items():
        for part in parts:
            name = CLIENT_NAMES.get(part, part)
            if kind != row.kind and document.get(name) not in (None, "", []):
                raise ApiError(Code.MALFORMED_BODY, f"only for rules of type {kind}", field=name)


def _refusal(row: PriorityRule, error: ValidationError) -> ApiError:
    field, reasons = next(iter(error.message_dict.items()))
    same_name = PriorityRule.objects.filter(name=row.name).exclude(pk=row.pk)
    code = Code.MALFORMED_BODY
    if field == "name" and same_name.exists():
        code = Code.CONFLICT
    return ApiError(code, " ".join(reasons), field=CLIENT_NAMES.get(field, field))


def _name(value: Any) -> str:
    name = fields.line(value, "name", 100)
    if not name.strip():
        raise ApiError(Code.MALFORMED_BODY, "required", field="name")
    return name


def _level(value: Any) -> Priority:
    level = fields.priority(value)
    if level is None:
        raise ApiError(Code.INVALID_PRIORITY, "required", field="priority")
    return level


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ApiError(Code.MALFORMED_BODY, "true or false", field="enabled")
    return value


def _number(value: Any, field: str) -> int:
    number = isinstance(value, int) and not isinstance(value, bool)
    if not number or not 0 <= value <= LARGEST_NUMBER:
        raise ApiError(
            Code.MALFORMED_BODY, f"a whole number from 0 to {LARGEST_NUMBER}", field=field
        )
    return int(value)


def _words(value: Any) -> str:
    if value is None:
        return ""
    one_line = isinstance(value, list) and all(
        isinstance(word, str) and len(word.splitlines()) == 1 and word.strip() for word in value
    )
    if not one_line:
        raise ApiError(Code.MALFORMED_BODY, "a list of words or phrases", field="keywords")
    return "\n".join(word.strip() for word in value)


def _pattern(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > rules.LONGEST_PATTERN:
        raise ApiError(
            Code.MALFORMED_BODY,
            f"a string of at most {rules.LONGEST_PATTERN} characters",
            field="pattern",
        )
    return value


def _tenant_id(value: Any) -> UUID | None:
    """The id of a tenant that exists; None when none is named."""
    if value is None:
        return None
    try:
        found = Tenant.objects.filter(pk=UUID(value)).first() if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise ApiError(Code.MALFORMED_BODY, "there is no such tenant", field="tenant_id")
    return found.pk


READERS: dict[str, Callable[[Any], Any]] = {
    "name": _name,
    "order": lambda value: _number(value, "order"),
    "enabled": _flag,
    "tenant_id": _tenant_id,
    "type": lambda value: fields.one_of(value, list(rules.KINDS), "type"),
    "keywords": _words,
    "pattern": _pattern,
    "min_chars": lambda value: None if value is None else _number(value, "min_chars"),
    "max_chars": lambda value: None if value is None else _number(value, "max_chars"),
    "metadata_key": lambda value: fields.line(value, "metadata_key", 100),
    "metadata_value": lambda value: fields.line(value, "metadata_value", 200),
    "priority": _level,
}
