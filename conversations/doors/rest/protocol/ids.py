"""How are ids written? `msg_<hex>` and `conv_<hex>`; plain UUIDs are accepted too."""

from __future__ import annotations

import re
from uuid import UUID

from conversations.doors.rest.protocol.refusals import Code, RestError

MESSAGE, CONVERSATION = "msg", "conv"

_PLAIN = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def shown(prefix: str, identifier: UUID) -> str:
    return f"{prefix}_{identifier.hex}"


def parse(prefix: str, text: object) -> UUID | None:
    """The UUID that `text` names; None if it cannot be an id with this prefix."""
    if not isinstance(text, str):
        return None
    plain = text.removeprefix(f"{prefix}_")
    return UUID(plain) if _PLAIN.fullmatch(plain) else None


def message(text: object) -> UUID:
    """The id of a message; text that cannot be one is not found."""
    if identifier := parse(MESSAGE, text):
        return identifier
    raise RestError(Code.MESSAGE_NOT_FOUND, field="id")


def conversation(text: object) -> UUID:
    if identifier := parse(CONVERSATION, text):
        return identifier
    raise RestError(Code.CONVERSATION_NOT_FOUND, field="conversation_id")
