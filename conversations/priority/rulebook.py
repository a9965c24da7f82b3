"""The rules in force, remembered for a few seconds by every process.

A changed rule counts at once where the control channel is up (`forget`), and after
`web.rule_cache_seconds` in any case.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import structlog

from conversations.priority.rules import BadRule, Condition, Rule, Rulebook, compiled
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)

# At most `rules.MOST_RULES` rows.
RULES = """
select name, level, tenant_id, kind, words, pattern, min_chars, max_chars, metadata_key,
       metadata_value
  from conversations_priorityrule where enabled order by "order", id
"""
_seen: tuple[float, Rulebook] = (0.0, Rulebook())


def of_rows(rows: Iterable[tuple[Any, ...]]) -> Rulebook:
    """Rows of `RULES`, compiled; one that no longer compiles is left out and logged."""
    return Rulebook([rule for row in rows if (rule := _rule(row)) is not None])


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


def _rule(row: tuple[Any, ...]) -> Rule | None:
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
    try:
        return Rule(name, level, tenant_id, compiled(condition))
    except BadRule as error:
        log.warning("rule.left_out", rule=name, error=str(error))
        return None
