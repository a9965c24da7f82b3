"""The servers that answer: one row an OpenAI-compatible endpoint."""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator, RegexValidator
from django.db import models

from balancing.prices import wrong_prices

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


def validate_aliases(value: Any) -> None:
    if not isinstance(value, dict):
        raise ValidationError('A JSON object: {"public name": "the endpoint\'s name"}')
    names = [*value.keys(), *value.values()]
    if not all(isinstance(n, str) and 0 < len(n) <= 200 and n.isprintable() for n in names):
        raise ValidationError("Model names are strings of 1 to 200 printable characters")


def validate_prices(value: Any) -> None:
    if reason := wrong_prices(value):
        raise ValidationError(reason)


def validate_finite(value: float) -> None:
    if not math.isfinite(value):
        raise ValidationError("Enter a finite number")


class Endpoint(models.Model):
    """An LLM server, its models and how much work it takes at once.

    A row with `discover` is no server but a group: its members are rows that discovery keeps.
    """

    class State(models.TextChoices):
        ENABLED = "enabled"
        DRAINING = "draining"
        DISABLED = "disabled"

    class ManagedBy(models.TextChoices):
        HAND = "", "hand"
        FILE = "file", "configuration file"
        DNS = "dns", "DNS"

    class Discover(models.TextChoices):
        NO = "", "one server"
        DNS = "dns", "a server at each address of the name"

    name = models.SlugField(max_length=64, unique=True)
    base_url = models.CharField(
        max_length=500,
        validators=[validate_base_url],
        help_text="Up to and including /v1, for example http://gpu-1:8000/v1",
    )
    model_names: models.JSONField[Any] = models.JSONField(
        "models",
        default=list,
        blank=True,
        validators=[validate_models],
        help_text='For example ["llama-3.1-8b"]; found by itself with "discover models"',
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
    model_aliases: models.JSONField[Any] = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_aliases],
        help_text='Public name to the endpoint\'s own: {"fast": "llama-3.1-8b-instruct-q4"}',
    )
    prices: models.JSONField[Any] = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_prices],
        help_text='Per million tokens: {"*": {"input": 0.15, "cached_input": 0.07, "output": 0.6}}',
    )
    discover = models.CharField(
        max_length=4,
        choices=Discover.choices,
        blank=True,
        default=Discover.NO,
        help_text="DNS: the URL's name is looked up again and again, SRV where it begins with _",
    )
    discover_models = models.BooleanField(
        default=False, help_text="take the models from its GET /v1/models, again and again"
    )
    managed_by = models.CharField(
        max_length=4, choices=ManagedBy.choices, blank=True, default="", editable=False
    )
    group = models.ForeignKey(
        "self", models.CASCADE, null=True, editable=False, related_name="members"
    )
    host = models.CharField(
        max_length=260,
        blank=True,
        default="",
        editable=False,
        help_text="sent instead of the URL's",
    )
    vanished_at = models.DateTimeField(null=True, editable=False)
    refresh_at = models.DateTimeField(null=True, editable=False)
    refreshed_at = models.DateTimeField(null=True, editable=False)
    refresh_error = models.CharField(max_length=300, blank=True, default="", editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if not self.model_names and not self.discover_models:
            raise ValidationError({"model_names": "List at least one model name"})
        if self.discover_models or not isinstance(self.model_names, list):
            return
        aliases = self.model_aliases if isinstance(self.model_aliases, dict) else {}
        if unlisted := sorted(set(map(str, aliases)) - set(map(str, self.model_names))):
            text = f"Not among the models of this endpoint: {', '.join(unlisted)[:200]}"
            raise ValidationError({"model_aliases": text})
