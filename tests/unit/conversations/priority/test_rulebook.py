"""The rules in force: read again when they are old, or when one has changed."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from conversations.models import PriorityRule
from conversations.priority import rulebook
from conversations.priority.rulebook import KnownRules
from llmqueue_project.config import configuration
from scheduling.models import Priority
from stores.memory import Memory, kept

pytestmark = pytest.mark.django_db


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rule(name: str, words: str = "urgent") -> None:
    PriorityRule.objects.create(name=name, kind="keyword", words=words, level=Priority.HIGH)


def names(known: KnownRules) -> list[str]:
    return [each.name for each in known.current().of(uuid4())]


def test_rules_are_remembered_for_the_time_of_the_setting() -> None:
    clock = Clock()
    known = KnownRules(clock)
    assert names(known) == []
    rule("new")

    clock.now += configuration().web.rule_cache_seconds - 0.01
    assert names(known) == []
    clock.now += 0.02
    assert names(known) == ["new"]


def test_a_changed_rule_counts_after_forgetting() -> None:
    known = KnownRules()
    assert names(known) == []
    rule("new")

    known.forget()

    assert names(known) == ["new"]


def test_a_process_that_keeps_a_memory_reads_once() -> None:
    with kept(Memory()), CaptureQueriesContext(connection) as queries:
        first = rulebook.current()
        again = rulebook.current()

    assert again is first
    assert len(queries) == 1


def test_a_stored_rule_is_news_within_its_process() -> None:
    with kept(Memory()):
        rulebook.current()
        rule("new")

        assert [each.name for each in rulebook.current().of(uuid4())] == ["new"]
