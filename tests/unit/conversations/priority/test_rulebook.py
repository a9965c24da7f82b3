"""The rules in force: rows that can be read, read again when they are old or one has changed."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from conversations.models import PriorityRule
from conversations.priority import rulebook
from conversations.priority.rulebook import KnownRules, RulebookReader
from conversations.priority.rules import first, subject
from llmqueue_project.config import configuration
from scheduling.models import Priority
from stores.memory import Memory, kept

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


def row(**fields: Any) -> tuple[Any, ...]:
    return tuple((GOOD | fields).values())


def read(reader: RulebookReader, *rows: tuple[Any, ...]) -> tuple[list[str], list[Any]]:
    with capture_logs() as logs:
        found = reader.read(rows)
    return [rule.name for rule in found.of(uuid4())], logs


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
    reader = RulebookReader()

    found, logs = read(reader, *rows)
    again, later = read(reader, *rows)

    assert found == again == ["good", "last"]
    assert [(told["event"], told["rule"]) for told in logs] == [("rule.left_out", "bad")]
    assert later == []


def test_a_changed_rule_counts_as_it_is_now() -> None:
    reader = RulebookReader()
    read(reader, row())

    changed = reader.read([row(words="calm", level=3)])

    applying = changed.of(uuid4())
    assert first(applying, subject("urgent")) is None
    found = first(applying, subject("calm"))
    assert found is not None
    assert found.level == 3


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def store(name: str, words: str = "urgent") -> None:
    PriorityRule.objects.create(name=name, kind="keyword", words=words, level=Priority.HIGH)


def names(known: KnownRules) -> list[str]:
    return [each.name for each in known.current().of(uuid4())]


@pytest.mark.django_db
def test_rules_are_remembered_for_the_time_of_the_setting() -> None:
    clock = Clock()
    known = KnownRules(clock)
    assert names(known) == []
    store("new")

    clock.now += configuration().web.rule_cache_seconds - 0.01
    assert names(known) == []
    clock.now += 0.02
    assert names(known) == ["new"]


@pytest.mark.django_db
def test_a_changed_rule_counts_after_forgetting() -> None:
    known = KnownRules()
    assert names(known) == []
    store("new")

    known.forget()

    assert names(known) == ["new"]


@pytest.mark.django_db
def test_a_process_that_keeps_a_memory_reads_once() -> None:
    with kept(Memory()), CaptureQueriesContext(connection) as queries:
        first = rulebook.current()
        again = rulebook.current()

    assert again is first
    assert len(queries) == 1


@pytest.mark.django_db
def test_a_stored_rule_is_news_within_its_process() -> None:
    with kept(Memory()):
        rulebook.current()
        store("new")

        assert [each.name for each in rulebook.current().of(uuid4())] == ["new"]
