"""Which conversations are over? Idle ones become inactive, expired ones are archived."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from conversations.models import Conversation
from llmqueue_project.config import configuration


def update_states() -> tuple[int, int]:
    """How many conversations became inactive, and how many were archived.

    Index conversation_idle.
    """
    now = timezone.now()
    idle_since = now - timedelta(minutes=configuration().conversations.idle_minutes)
    state = Conversation.State
    idle = Conversation.objects.filter(state=state.ACTIVE, last_active_at__lt=idle_since)
    inactive = idle.update(state=state.INACTIVE, updated_at=now)
    expired = Conversation.objects.filter(
        state__in=[state.ACTIVE, state.INACTIVE, state.COMPLETED], expires_at__lte=now
    )
    archived = expired.update(state=state.ARCHIVED, updated_at=now)
    return inactive, archived
