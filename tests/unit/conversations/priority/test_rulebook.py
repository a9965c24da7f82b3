"""Rules as processes read them: a row that is no rule is left out alone, and told of once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from conversations.priority import rulebook
from conversations.priority.rules import first, subject

# In the order of `rulebook.RULES`.
GOOD: dict[str, Any] = {
    "name": "good",
    "level": 1,
    "tenant_id": None,
    "kind": "keyword",
    "words": "urgent",
    "pattern": "",
    "min_chars": None,
    "max_chars": None,
    "metadata_key": "",
    "metadata_value": "",
}


@pytest.fixture(autouse=True)
def nothing_told() -> Iterator[None]:
    rulebook.of_rows([])
    yield
    rulebook.of_rows([])


def row(**fields: Any) -> tuple[Any, ...]:
    return tuple((GOOD | fields).values())


def names(*rows: tuple[Any, ...]) -> tuple[list[str], list[Any]]:
    with capture_logs() as logs:
        book = rulebook.of_rows(rows)
    return [rule.name for rule in book.of(uuid4())], logs


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": 4},
        {"level": -1},
        {"kind": "sentiment"},
        {"words": ""},
        {"words": "\n".join(str(n) for n in range(1000))},
        {"kind": "regex", "pattern": "("},
        {"kind": "length", "min_chars": 9, "max_chars": 1},
        {"kind": "length"},
        {"kind": "metadata"},
    ],
)
def test_a_row_that_is_no_rule_is_left_out_alone_and_told_of_once(wrong: dict[str, Any]) -> None:
    rows = [row(**wrong | {"name": "bad"}), row(), row(name="last")]

    found, logs = names(*rows)
    again, later = names(*rows)

    assert found == again == ["good", "last"]
    assert [(told["event"], told["rule"]) for told in logs] == [("rule.left_out", "bad")]
    assert later == []


def test_a_changed_rule_counts_as_it_is_now() -> None:
    names(row())

    book = rulebook.of_rows([row(words="calm", level=3)])

    applying = book.of(uuid4())
    assert first(applying, subject("urgent")) is None
    found = first(applying, subject("calm"))
    assert found is not None
    assert found.level == 3
