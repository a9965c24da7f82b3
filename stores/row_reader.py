"""Rows that a process reads again and again, made into the objects that it works with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")
# What code raises that meets a value of a type or size that it does not expect.
_UNFORESEEN = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
Row = tuple[Any, ...]


class Unreadable(ValueError):
    """A row cannot be made into its object. The text is for operators and holds no secret."""


@dataclass(frozen=True, slots=True)
class _Made(Generic[T]):
    row: Row = field(repr=False)
    made: T | None = None
    reason: str = ""


class RowReader(Generic[T]):
    """Makes an object of each row; a row that cannot be read is set aside, and harms no other.

    A row that has not changed is not read again, and one that stays unreadable is logged once.

    Args:
        make: raises `Unreadable` where it cannot.
        event: the log's word for a row that is set aside.
        kind: under which the log has the row's name.
        name_at: where a row has its name. Names are unique.
    """

    def __init__(
        self, make: Callable[[Row], T], *, event: str, kind: str, name_at: int = 0
    ) -> None:
        self._make = make
        self._event = event
        self._kind = kind
        self._name_at = name_at
        self._known: dict[str, _Made[T]] = {}

    def read(self, rows: Iterable[Row]) -> list[T]:
        """The objects of all the rows that there are, in order."""
        known = {row[self._name_at]: self._again(row) for row in rows}
        self._known = known
        return [each.made for each in known.values() if each.made is not None]

    @property
    def set_aside(self) -> int:
        """How many of the rows that were read last cannot be used."""
        return sum(each.made is None for each in self._known.values())

    def _again(self, row: Row) -> _Made[T]:
        name = row[self._name_at]
        before = self._known.get(name)
        if before is not None and before.row == row:
            return before
        try:
            return _Made(row, self._make(row))
        except Unreadable as error:
            reason = str(error)
        except _UNFORESEEN as error:
            # Its text may hold a value, and the value may be a secret.
            reason = f"cannot be read ({type(error).__name__})"
        # A row may differ from itself: NaN does.
        if before is None or before.reason != reason:
            log.error(self._event, **{self._kind: name}, reason=reason)
        return _Made(row, reason=reason)
