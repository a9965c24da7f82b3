"""Which empty value does a column accept? Its default, and no other."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

# By the empty value of a column, as JSON writes it: what the column holds.
_HELD = {"{}": "an object", "[]": "a list", '""': "text", "null": "a number"}


class OwnEmpties(models.Model):
    """Base of rows whose columns accept no empty value but their default.

    Django runs no validator on an empty value (null, "", [] and {}) of a field that may be blank.
    It would store [] in a column that is read as an object.
    """

    class Meta:
        abstract = True

    def clean_fields(self, exclude: Collection[str] | None = None) -> None:
        """
        Raises:
            ValidationError: by field.
        """
        errors = self._foreign_empties(exclude or ())
        try:
            super().clean_fields(exclude=exclude)
        except ValidationError as error:
            # Django's are of other fields: it passed over those that are empty.
            errors = error.update_error_dict(errors)
        if errors:
            raise ValidationError(errors)

    def _foreign_empties(self, exclude: Collection[str]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for field in self._meta.concrete_fields:
            if field.name in exclude or not field.blank:
                continue
            value, own = getattr(self, field.attname), field.get_default()
            if value in field.empty_values and value != own:
                none = json.dumps(own)
                found[field.name] = [ValidationError(f"Enter {_HELD[none]}, or {none} for none")]
        return found
