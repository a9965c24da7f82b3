"""Fields that an endpoint has several of."""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from balancing.validators import validate_finite

LONGEST_TIMEOUT = 86_400.0


def seconds(help_text: str) -> Any:
    return models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(LONGEST_TIMEOUT), validate_finite],
        help_text=f"Seconds; empty is the setting's. {help_text}",
    )


def limit_a_minute(help_text: str) -> Any:
    return models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=f"Over all workers, in any 60 seconds; empty is no limit. {help_text}",
    )
