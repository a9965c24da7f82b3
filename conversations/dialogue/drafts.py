"""What does a client want stored? Checked by its door, but not stored yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from scheduling.models import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDraft:
    """A message that a client wants answered."""

    content: str
    timeout_seconds: float
    user_id: str | None = None
    conversation_id: UUID | None = None
    priority: Priority | None = None
    model: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    scheduled_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDraft:
    """A conversation that a client wants to open."""

    user_id: str | None = None
    title: str = ""
    context: str = ""
    model: str = ""
    priority: Priority | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None
