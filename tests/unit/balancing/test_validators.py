"""What an endpoint's row may hold at most: every process reads all rows again each few seconds."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from balancing.models import Endpoint

FIELDS: dict[str, Any] = {"name": "e", "base_url": "http://gpu-1/v1", "model_names": ["m"]}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_names", [f"m{n}" for n in range(10_000)]),
        ("model_aliases", {f"m{n}": "m" for n in range(10_000)}),
        ("prices", {f"m{n}": {"input": 1} for n in range(10_000)}),
        ("weight", float("nan")),
        ("connect_timeout", float("inf")),
    ],
)
def test_a_row_is_bounded(field: str, value: Any) -> None:
    row = Endpoint(**FIELDS)
    setattr(row, field, value)

    with pytest.raises(ValidationError) as caught:
        row.clean_fields(exclude={"id", "group", "host", "created_at", "updated_at"})

    assert field in caught.value.message_dict
