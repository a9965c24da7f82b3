"""What an endpoint's row may hold at most: every process reads all rows again each few seconds."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from balancing.models import Endpoint, ModelPool

FIELDS: dict[str, Any] = {"name": "e", "base_url": "http://gpu-1/v1", "model_names": ["m"]}
UNSET = {"id", "group", "host", "created_at", "updated_at"}
OBJECTS = ("extra_headers", "model_aliases", "prices")
LISTS = ("model_names", "apis")
TEXTS = ("api_key_variable", "api_version", "ca_bundle", "proxy_url", "discover")
NUMBERS = ("connect_timeout", "total_timeout", "requests_per_minute", "tokens_per_minute")
WRONG: dict[tuple[str, ...], list[Any]] = {
    OBJECTS: [None, "", [], 0, False],
    LISTS: [None, "", {}, 0, False],
    TEXTS: [None, [], {}],
    NUMBERS: ["", [], {}],
}


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
        row.clean_fields(exclude=UNSET)

    assert field in caught.value.message_dict


@pytest.mark.parametrize(
    ("field", "value"),
    [(name, value) for names, values in WRONG.items() for name in names for value in values],
)
def test_an_empty_value_is_of_its_columns_own_kind(field: str, value: Any) -> None:
    row = Endpoint(**FIELDS | {"discover_models": True, field: value})

    with pytest.raises(ValidationError) as caught:
        row.clean_fields(exclude=UNSET)

    assert set(caught.value.message_dict) == {field}


def test_what_is_empty_in_its_own_way_is_taken() -> None:
    own: dict[str, Any] = {
        **{name: {} for name in OBJECTS},
        **{name: [] for name in LISTS},
        **dict.fromkeys(TEXTS, ""),
        **dict.fromkeys(NUMBERS),
    }

    Endpoint(**FIELDS | own).clean_fields(exclude=UNSET)


def test_mistakes_of_all_sorts_are_told_together() -> None:
    row = Endpoint(**FIELDS | {"extra_headers": [], "prices": {"m": 1}, "kind": "bard"})

    with pytest.raises(ValidationError) as caught:
        row.clean_fields(exclude=UNSET)

    assert set(caught.value.message_dict) == {"extra_headers", "prices", "kind"}
    assert caught.value.message_dict["extra_headers"] == ["Enter an object, or {} for none"]


@pytest.mark.parametrize("value", [{5: "x"}, {None: "x"}, {("a",): "x"}])
@pytest.mark.parametrize("field", OBJECTS)
def test_a_key_that_is_no_text_is_refused(field: str, value: Any) -> None:
    """YAML has such keys."""
    row = Endpoint(**FIELDS | {field: value})

    with pytest.raises(ValidationError) as caught:
        row.clean_fields(exclude=UNSET)

    assert set(caught.value.message_dict) == {field}


POOL_WRONG: dict[str, list[Any]] = {
    "fallback_models": [None, "", {}, 0, False],
    "profile": [None, [], {}, 0],
}


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in POOL_WRONG.items() for value in values],
)
def test_a_pools_empty_values_are_of_their_own_kind_too(field: str, value: Any) -> None:
    pool = ModelPool(**{"pattern": "m", field: value})

    with pytest.raises(ValidationError) as caught:
        pool.clean_fields(exclude=UNSET)

    assert set(caught.value.message_dict) == {field}
