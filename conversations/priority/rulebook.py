"""Which rules are in force? Rows, compiled and remembered for a few seconds.

A changed rule counts at once if the control channel is up (`forget`), and after
`web.rule_cache_seconds` otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from django.db import connection

from conversations.priority.rules import BadRule, Condition, Rule, Rulebook, compiled
from llmqueue_project.config import configuration
from stores.memory import Aged, remembered

log = structlog.get_logger(__name__)

# At most `rules.MOST_RULES` rows.
RULES = """
select name, level, tenant_id, kind, words, pattern, min_chars, max_chars, metadata_key,
       metadata_value
  from conversations_priorityrule where enabled order by "order", id
"""


def of_rows(rows: Iterable[tuple[Any, ...]]) -> Rulebook:
    """Rows of `RULES`, compiled. A rule that no longer compiles is left out and logged."""
    return Rulebook([rule for row in rows if (rule := _rule(row)) is not None])


class KnownRules:
    """The rulebook of a process, by Django's connection, at most `rule_cache_seconds` old.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._rulebook = Aged[Rulebook](configuration().web.rule_cache_seconds, clock=clock)

    def current(self) -> Rulebook:
        return self._rulebook.current(_read)

    def forget(self) -> None:
        """Read the rows again at the next request: one has changed."""
        self._rulebook.expire()


def current() -> Rulebook:
    """The rules; remembered if the process keeps a memory."""
    return remembered(KnownRules).current()


def forget() -> None:
    """Make the process read the rules again: one has changed."""
    remembered(KnownRules).forget()


def _read() -> Rulebook:
    with connection.cursor() as cursor:
        cursor.execute(RULES)
        return of_rows(cursor.fetchall())


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
