"""The servers that answer: one row an OpenAI-compatible endpoint."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from balancing.profiles import UnknownProfile, resolve

# Whoever may name any variable of a worker could have its database URL sent to a server of theirs.
CREDENTIAL_VARIABLE = r"\A(LLM_[A-Z0-9_]+|(?!LLMQUEUE_)[A-Z][A-Z0-9_]*_API_KEY)\Z"


def validate_base_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        usable = parts.port is None or parts.port > 0
    except ValueError:
        raise ValidationError("Enter a valid URL, for example http://gpu-1:8000/v1") from None
    if not usable or not value.isprintable() or " " in value or parts.query or parts.fragment:
        raise ValidationError("Enter a plain URL, for example http://gpu-1:8000/v1")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValidationError("Enter an http or https URL, for example http://gpu-1:8000/v1")
    if parts.username or parts.password:
        raise ValidationError("Credentials do not belong in the URL: name a variable instead")


def validate_models(value: Any) -> None:
    if not isinstance(value, list) or not value:
        raise ValidationError("List at least one model name")
    if not all(isinstance(n, str) and 0 < len(n) <= 200 and n.isprintable() for n in value):
        raise ValidationError("Model names are strings of 1 to 200 printable characters")


def validate_finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValidationError("Enter a finite number")


def validate_profile(value: str) -> None:
    try:
        resolve(value)
    except UnknownProfile as error:
        raise ValidationError(str(error)) from None


def validate_fallbacks(value: Any) -> None:
    if value != []:
        validate_models(value)


class Endpoint(models.Model):
    """An LLM server, its models and how much work it takes at once."""

    class State(models.TextChoices):
        ENABLED = "enabled"
        DRAINING = "draining"
        DISABLED = "disabled"

    name = models.SlugField(max_length=64, unique=True)
    base_url = models.CharField(
        max_length=500,
        validators=[validate_base_url],
        help_text="Up to and including /v1, for example http://gpu-1:8000/v1",
    )
    model_names: models.JSONField[Any] = models.JSONField(
        "models",
        default=list,
        validators=[validate_models],
        help_text='For example ["llama-3.1-8b"]',
    )
    api_key_variable = models.CharField(
        max_length=100,
        blank=True,
        validators=[RegexValidator(CREDENTIAL_VARIABLE, "Such as LLM_GPU1 or OPENAI_API_KEY")],
        help_text="Name of the workers' environment variable that holds the credential",
    )
    weight = models.FloatField(default=1.0, validators=[MinValueValidator(0.001), validate_finite])
    max_concurrent = models.PositiveIntegerField(default=8, validators=[MinValueValidator(1)])
    state = models.CharField(max_length=10, choices=State.choices, default=State.ENABLED)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ModelPool(models.Model):
    """How requests for some models are balanced; those that no row names follow the settings."""

    pattern = models.CharField(
        max_length=200,
        unique=True,
        validators=[
            RegexValidator(r"\A[^\s\[\]]+\Z", "A model's name, or a pattern such as llama-*")
        ],
        help_text="A model's name, or a pattern such as llama-*; the longest that matches counts",
    )
    profile = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_profile],
        help_text="Such as expected_work, or a dotted path; empty for the one in the settings",
    )
    fallback_models: models.JSONField[Any] = models.JSONField(
        default=list,
        blank=True,
        validators=[validate_fallbacks],
        help_text='Such as ["m"]: asked when no endpoint can answer, for tenants that allow it',
    )
    hedging = models.BooleanField(
        default=True, help_text="ask a second endpoint when a first token is overdue"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pattern"]

    def __str__(self) -> str:
        return self.pattern
