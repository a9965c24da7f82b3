"""Which text of an OpenAI request do priority rules match? What the user said last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conversations.priority import rules
from conversations.priority.rules import Subject


def subject_of(fields: Mapping[str, Any]) -> Subject:
    """The text of the last user message, or of the prompt or the input; and the metadata."""
    metadata = fields.get("metadata")
    written = fields["prompt"] if "prompt" in fields else fields.get("input")
    text = _last_said(fields) if "messages" in fields else _text(written)
    return rules.subject(text, metadata if isinstance(metadata, dict) else None)


def _last_said(fields: Mapping[str, Any]) -> str:
    """The text of the last message of role `user`; earlier ones have been answered."""
    messages = fields["messages"]
    # Only a chat's are checked; other APIs may have a field of this name.
    for message in reversed(messages) if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(value: Any) -> str:
    """Text, or the text parts of a list; images, audio and token ids have none."""
    if isinstance(value, str):
        return value
    return "\n".join(_part(part) for part in value) if isinstance(value, list) else ""


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""
