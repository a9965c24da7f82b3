"""What operators change is known at once to whoever remembers endpoints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from balancing import services
from balancing.endpoints.registry import known_models
from balancing.models import Endpoint
from stores.memory import Memory, kept


@pytest.fixture
def row(db: None) -> Endpoint:
    return services.register(name="e", base_url="http://e/v1", model_names=["m"])


@pytest.mark.parametrize(
    ("change", "models"),
    [
        (lambda row: services.change(row, {"model_names": ["n"]}), ["n"]),
        (lambda row: services.disable(endpoint_id=row.pk), []),
        (lambda row: services.delete(endpoint_id=row.pk), []),
    ],
)
def test_a_change_is_known_at_once(
    row: Endpoint, change: Callable[[Endpoint], object], models: list[str]
) -> None:
    with kept(Memory()):
        assert known_models() == ["m"]

        change(row)

        assert known_models() == models
