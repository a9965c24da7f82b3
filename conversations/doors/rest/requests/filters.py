"""Which rows of a list are asked for, and in which order? The query string."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request

from conversations.access.keys import Caller
from conversations.access.visibility import visible_conversations
from conversations.doors.rest.protocol import ids, statuses
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields
from conversations.doors.rest.requests.fields import MAX_USER_ID_CHARS
from conversations.models import Conversation, Message
from conversations.models.dialogue import TURN_ORDER
from scheduling.models import Priority

Orders = Mapping[str, tuple[Any, ...]]
MESSAGE_ORDERS: dict[str, tuple[Any, ...]] = {
    "created_at": ("created_at",),
    "updated_at": ("updated_at",),
    "priority": ("job__level",),
}
CONVERSATION_ORDERS: Orders = {
    "created_at": ("created_at",),
    "updated_at": ("updated_at",),
    "last_active_at": ("last_active_at",),
    "priority": ("priority",),
}
# The parameters of lists.
PAGES = frozenset({"page", "page_size"})
_ORDER = frozenset({"sort", "sort_by", "order"})
MESSAGES = PAGES | _ORDER | {"conversation_id", "user_id", "status", "priority"}
CONVERSATIONS = PAGES | _ORDER | {"user_id", "state", "priority"}


def messages(rows: QuerySet[Message], request: Request, caller: Caller) -> QuerySet[Message]:
    """Messages by conversation_id, user_id, status and priority, the latest first."""
    rows = _chosen(rows, request, caller)
    return _ordered(rows, request, MESSAGE_ORDERS, default="-created_at")


def dialogue(rows: QuerySet[Message], request: Request, caller: Caller) -> QuerySet[Message]:
    """The messages of one conversation, turn by turn."""
    orders = MESSAGE_ORDERS | {"created_at": TURN_ORDER}
    return _ordered(_chosen(rows, request, caller), request, orders, default="created_at")


def _chosen(rows: QuerySet[Message], request: Request, caller: Caller) -> QuerySet[Message]:
    if text := _text(request, "conversation_id"):
        rows = rows.filter(conversation=conversation(caller, text))
    if text := _text(request, "user_id"):
        rows = rows.filter(user__external_id=text)
    if text := _text(request, "status"):
        name = fields.one_of(text, statuses.NAMES, "status")
        rows = rows.filter(job__status__in=statuses.meant(name))
    if text := _text(request, "priority"):
        rows = rows.filter(job__level=level(text))
    return rows


def conversations(rows: QuerySet[Conversation], request: Request) -> QuerySet[Conversation]:
    """Conversations by user_id, state and priority; by default the latest active first."""
    if text := _text(request, "user_id"):
        rows = rows.filter(user__external_id=text)
    if text := _text(request, "state"):
        rows = rows.filter(state=fields.one_of(text, list(Conversation.State.values), "state"))
    if text := _text(request, "priority"):
        rows = rows.filter(priority=fields.priority(text))
    return _ordered(rows, request, CONVERSATION_ORDERS, default="-last_active_at")


def conversation(caller: Caller, text: object) -> Conversation:
    """The caller's conversation of that id.

    Raises:
        RestError: there is none, or it is another tenant's.
    """
    row = (
        visible_conversations(caller)
        .filter(pk=ids.conversation(text))
        .select_related("user")
        .first()
    )
    if row is None:
        raise RestError(Code.CONVERSATION_NOT_FOUND, field="conversation_id")
    return row


def _ordered(
    rows: QuerySet[Any], request: Request, orders: Orders, *, default: str
) -> QuerySet[Any]:
    """Rows in the order of `sort=-created_at`, or of `sort_by=created_at&order=desc`."""
    text = _text(request, "sort") or _text(request, "sort_by") or default
    direction = fields.one_of(_text(request, "order") or "asc", ["asc", "desc"], "order")
    name = fields.one_of(text.removeprefix("-"), list(orders), "sort")
    found = rows.order_by(*orders[name], "pk")
    return found.reverse() if text.startswith("-") or direction == "desc" else found


def level(text: str) -> Priority:
    """The level that a path names."""
    found = fields.priority(text)
    assert found is not None  # noqa: S101 - only None is no level
    return found


def _text(request: Request, name: str) -> str:
    value = fields.without_nul(request.query_params.get(name, ""), name)
    if len(value) > MAX_USER_ID_CHARS:
        raise RestError(
            Code.MALFORMED_BODY, f"must have at most {MAX_USER_ID_CHARS} characters", field=name
        )
    return value
