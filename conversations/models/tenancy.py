"""Who pays (Tenant), for whom (User), with which credential (ApiKey), and who operates?"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from rest_framework_api_key.models import AbstractAPIKey, BaseAPIKeyManager

from balancing.models import validate_finite
from scheduling.models import Priority
from stores.ids import uuid7


class Operator(AbstractUser):
    """A person who logs in to admin."""

    class Meta(AbstractUser.Meta):
        verbose_name = "operator"
        verbose_name_plural = "operators"


class Tenant(models.Model):
    """Who pays. Requests, limits and fairness are counted by tenant."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=100, unique=True)
    weight = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.001), validate_finite],
        help_text="share within a level, relative to others",
    )
    default_priority = models.SmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    highest_priority = models.SmallIntegerField(
        choices=Priority.choices,
        default=Priority.REALTIME,
        help_text="requests above it are lowered to it",
    )
    allow_fallback_models = models.BooleanField(
        default=False,
        db_default=False,
        help_text="when no endpoint of its model can answer, another model of the pool may",
    )
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class User(models.Model):
    """Whom a tenant speaks for; the row is created when a request first names the user."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="users")
    external_id = models.CharField(max_length=200, help_text="the tenant's own name for the user")
    default_priority = models.SmallIntegerField(choices=Priority.choices, null=True, blank=True)
    metadata: models.JSONField[Any] = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "external_id"], name="user_external_id")
        ]

    def __str__(self) -> str:
        return self.external_id


class ApiKeyManager(BaseAPIKeyManager):
    """Keys get a UUID as primary key; the library's own primary key would hold the hash."""

    def assign_key(self, obj: Any) -> str:
        key: str
        key, obj.prefix, obj.hashed_key = self.key_generator.generate()
        return key


class ApiKey(AbstractAPIKey):
    """A credential of a tenant, or of one of its users; only its hash is stored."""

    class Scope(models.TextChoices):
        CLIENT = "client"
        OPERATOR = "operator", "operator (and client)"

    id = models.UUIDField(  # type: ignore[assignment]
        primary_key=True, default=uuid7, editable=False
    )
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(User, models.CASCADE, null=True, blank=True, related_name="api_keys")
    scope = models.CharField(max_length=10, choices=Scope.choices, default=Scope.CLIENT)

    objects = ApiKeyManager()  # type: ignore[assignment,misc]

    def clean(self) -> None:
        super().clean()
        if self.user is not None and self.user.tenant_id != self.tenant_id:
            raise ValidationError({"user": "The user belongs to another tenant"})

    class Meta(AbstractAPIKey.Meta):
        verbose_name = "API key"
        verbose_name_plural = "API keys"
