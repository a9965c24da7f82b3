"""How are the requests for some models balanced? One row for each model pool."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models

from balancing.models.empties import OwnEmpties
from balancing.models.fields import seconds
from balancing.profile_names import UnknownProfile, resolve
from balancing.validators import validate_models


def validate_profile(value: str) -> None:
    try:
        resolve(value)
    except UnknownProfile as error:
        raise ValidationError(str(error)) from None


def validate_fallbacks(value: Any) -> None:
    if value != []:
        validate_models(value)


class ModelPool(OwnEmpties):
    """How requests for some models are balanced; the settings hold for all other models."""

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
    first_token_timeout = seconds("Silence of a streamed call before the first byte.")
    stall_timeout = seconds("Silence of a streamed call between two pieces.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["pattern"]

    def __str__(self) -> str:
        return self.pattern
