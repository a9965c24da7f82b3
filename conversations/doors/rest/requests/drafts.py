"""Which draft does a JSON object describe? Nothing is read from the database or stored here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from conversations.dialogue.drafts import ConversationDraft, MessageDraft
from conversations.doors.rest.protocol import ids, names
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import fields

MAX_BATCH = 10_000
MESSAGE = frozenset(
    {
        "content",
        "user_id",
        "conversation_id",
        "priority",
        "model",
        "metadata",
        "scheduled_at",
        "timeout",
    }
)


def message(
    document: dict[str, Any], *, conversation_id: UUID | None = None, now: datetime | None = None
) -> MessageDraft:
    """The draft of `POST /messages`; `conversation_id` is that of the path, if any."""
    now = now or timezone.now()
    return MessageDraft(
        content=fields.content(document.get("content")),
        user_id=fields.user_id(document.get("user_id")),
        conversation_id=_conversation_id(document.get("conversation_id"), conversation_id),
        priority=fields.priority(document.get("priority")),
        model=fields.line(document.get("model"), "model", fields.MAX_MODEL_CHARS),
        metadata=fields.metadata(document.get("metadata")),
        scheduled_at=fields.instant(document.get("scheduled_at"), "scheduled_at", now=now),
        timeout_seconds=fields.timeout_seconds(document.get("timeout")),
    )


def _conversation_id(named: Any, of_path: UUID | None) -> UUID | None:
    """The conversation that a body names, or that the path does; they may not differ."""
    if named is None:
        return of_path
    found = ids.conversation(named)
    if of_path not in (None, found):
        reason = "names another conversation than the path"
        raise RestError(Code.MALFORMED_BODY, reason, field="conversation_id")
    return found


def batch(document: dict[str, Any]) -> list[MessageDraft]:
    """The drafts of `POST /messages/batch`. The first one that is not valid refuses them all."""
    items = document.get("messages")
    if not isinstance(items, list) or not items:
        raise RestError(
            Code.MALFORMED_BODY, "must be a non-empty list of messages", field="messages"
        )
    if len(items) > MAX_BATCH:
        raise RestError(
            Code.MALFORMED_BODY, f"must have at most {MAX_BATCH} messages", field="messages"
        )
    now = timezone.now()
    return [_item(item, index, now) for index, item in enumerate(items)]


def _item(item: Any, index: int, now: datetime) -> MessageDraft:
    place = f"messages[{index}]"
    if not isinstance(item, dict):
        raise RestError(Code.MALFORMED_BODY, "must be a JSON object", field=place)
    try:
        names.check(item, MESSAGE, "field")
        return message(item, now=now)
    except RestError as error:
        raise error.within(place) from None


def conversation(document: dict[str, Any]) -> ConversationDraft:
    """The draft of `POST /conversations`."""
    values = conversation_changes(document)
    return ConversationDraft(user_id=fields.user_id(document.get("user_id")), **values)


def conversation_changes(document: dict[str, Any]) -> dict[str, Any]:
    """The fields of a conversation that the object names, checked."""
    return {name: read(document[name]) for name, read in CHANGES.items() if name in document}


CHANGES: dict[str, Callable[[Any], Any]] = {
    "title": lambda value: fields.line(value, "title", fields.MAX_TITLE_CHARS),
    "context": lambda value: fields.long_text("" if value is None else value, "context"),
    "model": lambda value: fields.line(value, "model", fields.MAX_MODEL_CHARS),
    "priority": fields.priority,
    "metadata": fields.metadata,
    "expires_at": lambda value: fields.future(value, "expires_at", now=timezone.now()),
}
CONVERSATION = frozenset({"user_id", *CHANGES})
