"""The rules in force, remembered for a few seconds by every process.

A changed rule counts at once where the control channel is up (`forget`), and after
`web.rule_cache_seconds` in any case.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from conversations.priority.rules import BadRule, Condition, Rule, Rulebook, compiled
from llmqueue_project.config import configuration
from scheduling.models import Priority
from stores.row_reader import RowReader, Unreadable

# At most `rules.MOST_RULES` rows.
RULES = """
select name, level, tenant_id, kind, words, pattern, min_chars, max_chars, metadata_key,
       metadata_value
  from conversations_priorityrule where enabled order by "order", id
"""
_seen: tuple[float, Rulebook] = (0.0, Rulebook())


def of_rows(rows: Iterable[tuple[Any, ...]]) -> Rulebook:
    """All rows of `RULES`, compiled; one that no longer compiles is left out and logged."""
    return Rulebook(_rules.read(rows))


def current() -> Rulebook:
    """The rules, by Django's connection, at most `rule_cache_seconds` old."""
    global _seen
    from django.db import connection

    if time.monotonic() >= _seen[0]:
        with connection.cursor() as cursor:
            cursor.execute(RULES)
            book = of_rows(cursor.fetchall())
        _seen = (time.monotonic() + configuration().web.rule_cache_seconds, book)
    return _seen[1]


def forget() -> None:
    """Read the rows again at the next look: one has changed."""
    global _seen
    _seen = (0.0, _seen[1])


def _rule(row: tuple[Any, ...]) -> Rule:
    """
    Raises:
        Unreadable
    """
    name, level, tenant_id, kind, words, pattern, low, high, key, value = row
    condition = Condition(
        kind=kind,
        words=tuple(words.splitlines()),
        pattern=pattern,
        min_chars=low,
        max_chars=high,
        metadata_key=key,
        metadata_value=value,
    )
    if level not in Priority.values:
        raise Unreadable(f"there is no priority {level}")
    try:
        return Rule(name, level, tenant_id, compiled(condition))
    except BadRule as error:
        raise Unreadable(str(error)) from None


_rules = RowReader(_rule, event="rule.left_out", kind="rule")
