"""Rows that no code of this project stored: each harms only itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from balancing.endpoints import registry
from balancing.endpoints.registry import COLUMNS, JSON, Target, TargetReader
from balancing.models import Endpoint
from balancing.prices import Price

GOOD: dict[str, Any] = {
    "id": 1,
    "name": "good",
    "base_url": "http://good/v1",
    "model_names": ["m"],
    "api_key_variable": "",
    "weight": 1.0,
    "max_concurrent": 4,
    "state": "enabled",
    "apis": [],
    "requests_per_minute": None,
    "tokens_per_minute": None,
    "kind": "openai",
    "api_version": "",
    "encrypted_credential": "",
    "extra_headers": {},
    "ca_bundle": "",
    "verify_tls": True,
    "proxy_url": "",
    "connect_timeout": None,
    "first_token_timeout": None,
    "stall_timeout": None,
    "total_timeout": None,
    "host": "",
    "model_aliases": {},
    "prices": {},
}
NO_OBJECTS: list[Any] = [None, "", "x", [], ["a"], [["a", "b"]], 0, 1.5, True, False]
NO_LISTS: list[Any] = [None, "", "x", {}, {"a": "b"}, 0, 1.5, True, False]
WRONG: dict[str, list[Any]] = {
    "model_names": [*NO_LISTS, [1], [None], [["m"]], [{}]],
    "apis": [*NO_LISTS, [1], [None], [["chat"]], [{}]],
    "extra_headers": [*NO_OBJECTS, {"A": 1}, {"A": None}, {"A": ["b"]}, {"A": "b\r\nC: d"}],
    "model_aliases": [*NO_OBJECTS, {"a": 1}, {"a": None}, {"a": ["b"]}],
    "prices": NO_OBJECTS,
}
CASES = [(column, value) for column, values in WRONG.items() for value in values]
OTHERS: list[tuple[str, Any]] = [
    ("kind", "bard"),
    ("weight", float("nan")),
    ("weight", float("inf")),
    ("weight", 1e308),
    ("weight", 0.0),
    ("max_concurrent", -1),
    ("state", "on"),
    ("base_url", "gpu-1:8000"),
    ("base_url", "http://u:p@gpu-1/v1"),
    ("proxy_url", "nonsense"),
    ("extra_headers", {"Bad Name": "x"}),
    ("extra_headers", {"Content-Length": "5"}),
    ("extra_headers", {"A": "é"}),
    ("connect_timeout", -1.0),
    ("total_timeout", float("nan")),
    ("connect_timeout", float("inf")),
    ("api_version", "1\nX: y"),
    ("host", "["),
    ("host", "a\nb"),
    ("ca_bundle", "é"),
]


def row(**fields: Any) -> tuple[Any, ...]:
    """A row as the database's driver gives it: JSON as text."""
    values = GOOD | fields
    values |= {name: json.dumps(values[name]) for name in JSON}
    return tuple(values[name] for name in COLUMNS)


def read(*rows: tuple[Any, ...], by: TargetReader | None = None) -> tuple[list[Target], list[Any]]:
    with capture_logs() as logs:
        return (by or TargetReader()).read(rows), logs


@pytest.mark.parametrize(("column", "value"), CASES + OTHERS)
def test_a_row_that_cannot_be_read_is_set_aside_alone(column: str, value: Any) -> None:
    bad = {"id": 2, "name": "bad", column: value}

    found, logs = read(row(), row(**bad), row(id=3, name="third"))

    assert [target.name for target in found] == ["good", "third"]
    (told,) = logs
    assert (told["event"], told["endpoint"]) == ("endpoint.set_aside", "bad")
    assert told["reason"].startswith(f"{column}: ")
    assert registry.unreadable(Endpoint(**GOOD | bad)) == told["reason"]


@pytest.mark.parametrize("text", ["[" * 100_000, f"[{'1' * 5_000}]", "", "{"])
@pytest.mark.parametrize("column", sorted(JSON))
def test_what_python_cannot_parse_is_set_aside_alone(column: str, text: str) -> None:
    values = dict(zip(COLUMNS, row(id=2, name="bad"), strict=True)) | {column: text}

    found, logs = read(row(), tuple(values[name] for name in COLUMNS))

    assert [target.name for target in found] == ["good"]
    assert [told["endpoint"] for told in logs] == ["bad"]


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(column=st.sampled_from(sorted(JSON)), value=JSONS)
def test_whatever_a_column_holds_the_other_rows_are_read(column: str, value: Any) -> None:
    found, _ = read(row(), row(id=2, name="any", **{column: value}))

    assert found[0].name == "good"
    # What is read can be used.
    for target in found:
        assert sorted(registry.model_names([target])) == sorted(target.model_names)
        assert registry.apis_of("m", [target]) <= {"chat", "completion", "embedding"}
        assert target.upstream_model("m")
        price = target.price("m")
        assert price is None or price.micros(prompt_tokens=1, completion_tokens=1) >= 0
        assert all(isinstance(text, str) for pair in target.access.extra_headers for text in pair)


def test_a_row_is_told_of_once_and_again_when_it_breaks_again() -> None:
    good, bad = row(), row(id=2, name="bad", prices="")
    worse, mended = row(id=2, name="bad", apis=5), row(id=2, name="bad")

    rows, reader = (bad, bad, bad, worse, worse, mended, bad), TargetReader()
    told = [len(read(good, each, by=reader)[1]) for each in rows]

    assert told == [1, 0, 0, 1, 0, 0, 1]


def test_a_row_that_has_not_changed_is_not_read_again() -> None:
    reader = TargetReader()
    (before, other), _ = read(row(), row(id=2, name="two"), by=reader)

    (changed, same), _ = read(row(weight=2.0), row(id=2, name="two"), by=reader)

    assert same is other
    assert (before.weight, changed.weight) == (1.0, 2.0)


def test_a_row_that_is_gone_is_forgotten() -> None:
    reader = TargetReader()
    read(row(), row(id=2, name="two"), by=reader)

    assert [target.name for target in read(row(id=2, name="two"), by=reader)[0]] == ["two"]
    assert read(by=reader)[0] == []


def test_no_value_is_repeated() -> None:
    _, logs = read(row(name="bad", extra_headers={"X-Token": ["sk-secret"], "sk-key": 5}))

    assert "sk-" not in str(logs)


def test_a_price_that_is_none_is_left_out_alone() -> None:
    prices = {
        "m": {"input": "dear"},
        "n": {"inputs": 1},
        "o": 5,
        "p": {},
        "q": {"input": 2},
        "*": {"input": 1},
    }

    reader = TargetReader()
    (target,), logs = read(row(prices=prices), by=reader)

    assert target.prices == {"q": Price(input=2), "*": Price(input=1)}
    (told,) = logs
    assert (told["event"], told["endpoint"]) == ("price.set_aside", "good")
    assert told["reason"] == "m: prices are numbers from 0 to 1,000,000"
    assert read(row(prices=prices), by=reader)[1] == []


def test_an_api_of_another_version_is_not_served() -> None:
    (target,), logs = read(row(apis=["chat", "images"]))

    assert target.apis == {"chat"}
    assert logs == []


def test_values_and_text_are_read_alike() -> None:
    fields: dict[str, Any] = {
        "model_names": ["m", "n"],
        "extra_headers": {"A": "b"},
        "prices": {"m": {"input": 1}},
    }

    (target,), _ = read(row(**fields))

    assert target == registry.target_of(Endpoint(**GOOD | fields))


def test_json_within_json_is_no_list_for_anybody() -> None:
    """Encoded twice by whoever wrote it. Admin says the same as workers do."""
    found, _ = read(row(model_names='["m"]'))

    assert found == []
    assert registry.unreadable(Endpoint(**GOOD | {"model_names": '["m"]'}))
