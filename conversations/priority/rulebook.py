"""Which rules are in force? Rows, compiled and remembered for a few seconds.

A changed rule counts at once if the control channel is up (`forget`), and after
`web.rule_cache_seconds` otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from django.db import connection

from conversations.priority.rules import BadRule, Condition, Rule, Rulebook, compiled
from llmqueue_project.config import configuration
from scheduling.models import Priority
from stores.memory import Aged, remembered
from stores.row_reader import RowReader, Unreadable

# At most `rules.MOST_RULES` rows.
RULES = """
select name, level, tenant_id, kind, words, pattern, min_chars, max_chars, metadata_key,
       metadata_value
  from conversations_priorityrule where enabled order by "order", id
"""


class RulebookReader:
    """Makes the rulebook of all rows of `RULES`.

    A rule that no longer compiles is left out, and logged once.
    """

    def __init__(self) -> None:
        self._rows = RowReader(_rule, event="rule.left_out", kind="rule")

    @property
    def set_aside(self) -> int:
        """How many of the rows that were read last are left out."""
        return self._rows.set_aside

    def read(self, rows: Iterable[tuple[Any, ...]]) -> Rulebook:
        return Rulebook(self._rows.read(rows))


class KnownRules:
    """The rulebook of a process, by Django's connection, at most `rule_cache_seconds` old.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = RulebookReader()
        self._rulebook = Aged[Rulebook](configuration().web.rule_cache_seconds, clock=clock)

    def current(self) -> Rulebook:
        return self._rulebook.current(self._read)

    def forget(self) -> None:
        """Read the rows again at the next request: one has changed."""
        self._rulebook.expire()

    def _read(self) -> Rulebook:
        with connection.cursor() as cursor:
            cursor.execute(RULES)
            return self._reader.read(cursor.fetchall())


def current() -> Rulebook:
    """The rules; remembered if the process keeps a memory."""
    return remembered(KnownRules).current()


def forget() -> None:
    """Make the process read the rules again: one has changed."""
    remembered(KnownRules).forget()


def _rule(row: tuple[Any, ...]) -> Rule:
    """
    Raises:
        Unreadable: it is no rule any more.
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
