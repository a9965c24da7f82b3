"""Conversations and their messages. The Job of a message says what happens to its request."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models.functions import Coalesce

from conversations.models.tenancy import Tenant, User
from scheduling.models import Job, Priority
from stores.ids import uuid7

# The order of messages as a dialogue: an answer stands behind its question, however late it came.
TURN_ORDER = (
    Coalesce("reply_to__created_at", "created_at"),
    Coalesce("reply_to_id", "id"),
    "created_at",
)


class Conversation(models.Model):
    class State(models.TextChoices):
        ACTIVE = "active"
        INACTIVE = "inactive"
        COMPLETED = "completed"
        ARCHIVED = "archived"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="conversations")
    user = models.ForeignKey(User, models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=200, blank=True, default="")
    context = models.TextField(blank=True, default="", help_text="system prompt")
    model = models.CharField(max_length=200, blank=True, default="")
    priority = models.SmallIntegerField(choices=Priority.choices, null=True, blank=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    metadata: models.JSONField[Any] = models.JSONField(default=dict, blank=True)
    message_count = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    last_active_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-last_active_at"]
        indexes = [
            models.Index(fields=["tenant", "-last_active_at"], name="conversation_tenant"),
            models.Index(fields=["state", "last_active_at"], name="conversation_idle"),
        ]

    def __str__(self) -> str:
        return self.title or str(self.id)


class Message(models.Model):
    """One turn's text. A user's message has a Job; the assistant's answers it (`reply_to`)."""

    class Role(models.TextChoices):
        SYSTEM = "system"
        USER = "user"
        ASSISTANT = "assistant"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="messages")
    user = models.ForeignKey(User, models.CASCADE, related_name="messages")
    conversation = models.ForeignKey(
        Conversation, models.CASCADE, null=True, blank=True, related_name="messages"
    )
    role = models.CharField(max_length=10, choices=Role.choices)
    content = models.TextField()
    job = models.OneToOneField(
        Job, models.SET_NULL, null=True, blank=True, related_name="message", db_constraint=False
    )
    # Unique: a question has one answer, even if the same signal is received twice.
    reply_to = models.OneToOneField(
        "self", models.CASCADE, null=True, blank=True, related_name="reply"
    )
    metadata: models.JSONField[Any] = models.JSONField(
        default=dict, blank=True, help_text="the client's"
    )
    analysis: models.JSONField[Any] = models.JSONField(
        null=True, blank=True, help_text="ours, of a user's text: language, question, tokens"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["conversation", "created_at"], name="message_history"),
            models.Index(fields=["tenant", "-created_at"], name="message_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.role}: {self.content[:40]}"
