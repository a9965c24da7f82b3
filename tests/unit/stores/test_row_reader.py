"""Rows made into objects: only what changed is made anew, and what fails is told of once."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from stores.row_reader import Row, RowReader, Unreadable


class Numbers:
    """A reader of rows (name, number), and the rows that it has made objects of."""

    def __init__(self) -> None:
        self.made: list[Row] = []
        self._reader = RowReader(self._number, event="number.set_aside", kind="number")

    def read(self, *rows: Row) -> tuple[list[int], list[str]]:
        """The objects, and the names that the log has of them."""
        self.made = []
        with capture_logs() as logs:
            found = self._reader.read(rows)
        assert all(log["event"] == "number.set_aside" for log in logs)
        return found, [log["number"] for log in logs]

    def _number(self, row: Row) -> int:
        self.made.append(row)
        if not isinstance(row[1], int):
            raise Unreadable("a number is wanted")
        return row[1]


@pytest.fixture
def numbers() -> Numbers:
    return Numbers()


def test_objects_come_in_the_order_of_their_rows(numbers: Numbers) -> None:
    assert numbers.read(("b", 2), ("bad", "x"), ("a", 1)) == ([2, 1], ["bad"])


def test_only_a_row_that_changed_is_made_anew(numbers: Numbers) -> None:
    numbers.read(("a", 1), ("b", 2))

    assert numbers.read(("a", 1), ("b", 3)) == ([1, 3], [])
    assert numbers.made == [("b", 3)]


def test_a_row_that_stays_unreadable_is_told_of_once(numbers: Numbers) -> None:
    nan = float("nan")
    readings = [("a", "x"), ("a", "y"), ("a", nan), ("a", float("nan")), ("a", 1), ("a", "x")]

    told = [numbers.read(row)[1] for row in readings]

    assert told == [["a"], [], [], [], [], ["a"]]


def test_a_row_that_is_gone_is_forgotten(numbers: Numbers) -> None:
    numbers.read(("a", "x"), ("b", 2))

    assert numbers.read(("b", 2)) == ([2], [])
    assert numbers.read(("a", "x"), ("b", 2)) == ([2], ["a"])


@pytest.mark.parametrize("error", [TypeError("secret"), OverflowError(), KeyError("k")])
def test_what_nobody_foresaw_sets_a_row_aside_too(error: Exception) -> None:
    def make(row: Row) -> int:
        if row[0] == "bad":
            raise error
        return 1

    reader = RowReader(make, event="number.set_aside", kind="number")
    with capture_logs() as logs:
        found = reader.read([("bad", 1), ("good", 1)])

    assert (found, reader.set_aside) == ([1], 1)
    assert logs[0]["reason"] == f"cannot be read ({type(error).__name__})"
