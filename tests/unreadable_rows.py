"""Endpoint rows that no door of this project stores, as SQL or another version may leave them."""

from __future__ import annotations

from typing import Any

from balancing.models import Endpoint

# A column, and a value with which its row is set aside.
WRONG: list[tuple[str, Any]] = [
    ("extra_headers", []),
    ("extra_headers", {"A": 1}),
    ("extra_headers", {"A": "b\nc"}),
    ("prices", ""),
    ("prices", 5),
    ("model_aliases", ""),
    ("model_aliases", {"a": 1}),
    ("apis", 5),
    ("apis", [1]),
    ("model_names", 5),
    ("model_names", ""),
    ("model_names", [1, "fake-model"]),
    ("kind", "bard"),
    ("weight", float("nan")),
    ("weight", 1e308),
    ("base_url", "gpu-1:8000"),
    ("extra_headers", {"Bad Name": "x"}),
]


def bad_row(column: str, value: Any, name: str = "bad", **fields: Any) -> Endpoint:
    """Stored past every validator."""
    values = {"base_url": "http://bad/v1", "model_names": ["lost"], **fields, column: value}
    return Endpoint.objects.create(name=name, **values)
