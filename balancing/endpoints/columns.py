"""Can the columns of an endpoint's row be used for calls?

Validators (`balancing/validators.py`) check what is stored through this project. A row may also
come from SQL or from another version. Here a value is refused only if it would fail later.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Container, Mapping
from typing import Any
from urllib.parse import urlsplit

from balancing import outbound
from stores.row_reader import Unreadable

# HTTP clients refuse to send these in a header.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# With these the client library would send a request that no server can read.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "expect", "upgrade"})
# More would sum to infinity, or count slots for minutes.
LARGEST_WEIGHT, MOST_SLOTS = 1e9, 1_000_000
Row = Mapping[str, Any]


class UnreadableColumn(Unreadable):
    """The text names the column and what it should hold, but no value: it may be a secret."""

    def __init__(self, column: str, wanted: str) -> None:
        super().__init__(f"{column}: {wanted}")


def parsed(row: Row, column: str) -> Any:
    """The value of a JSON column that holds text, or the value already."""
    value = row[column]
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        raise UnreadableColumn(column, "JSON that Python can read") from None


def mapping(row: Row, column: str) -> dict[str, Any]:
    value = row[column]
    if not isinstance(value, dict):
        raise UnreadableColumn(column, "an object")
    return value


def texts(row: Row, column: str) -> list[str]:
    value = row[column]
    if not isinstance(value, list) or not _are_texts(value):
        raise UnreadableColumn(column, "a list of texts")
    return value


def text_by_text(row: Row, column: str) -> dict[str, str]:
    value = mapping(row, column)
    if not _are_texts(value.values()):
        raise UnreadableColumn(column, "an object whose values are texts")
    return value


def headers(row: Row, column: str) -> tuple[tuple[str, str], ...]:
    found = tuple(text_by_text(row, column).items())
    if any(_CONTROL.search(text) for pair in found for text in pair):
        raise UnreadableColumn(column, "texts without control characters")
    if not all(_HEADER_NAME.fullmatch(name) and name.lower() not in _FRAMING for name, _ in found):
        raise UnreadableColumn(column, "names of headers, without those of the connection's own")
    if not all(text.isascii() for _, text in found):
        raise UnreadableColumn(column, "texts in ASCII")
    return found


def header(row: Row, column: str) -> str:
    """A text that is sent in a header."""
    text: str = row[column]
    if _CONTROL.search(text):
        raise UnreadableColumn(column, "text without control characters")
    return text


def host(row: Row, column: str) -> str:
    text = header(row, column)
    try:
        urlsplit(f"//{text}")
    except ValueError:
        raise UnreadableColumn(column, "the name of a host") from None
    return text


def certificates(row: Row, column: str) -> str:
    text: str = row[column]
    if not text.isascii():
        raise UnreadableColumn(column, "certificates in PEM format")
    return text


def one_of(row: Row, column: str, known: Container[str]) -> str:
    text: str = row[column]
    if text not in known:
        raise UnreadableColumn(column, "a value that this version knows")
    return text


def number(row: Row, column: str) -> float:
    value: float = row[column]
    if not math.isfinite(value):
        raise UnreadableColumn(column, "a finite number")
    return value


def weight(row: Row, column: str) -> float:
    value = number(row, column)
    if not 0.0 < value <= LARGEST_WEIGHT:
        raise UnreadableColumn(column, "a number above 0, at most a billion")
    return value


def slots(row: Row, column: str) -> int:
    """Further slots than any server has are cut off."""
    value: int = row[column]
    if value < 0:
        raise UnreadableColumn(column, "a number that is not negative")
    return min(value, MOST_SLOTS)


def seconds(row: Row, column: str) -> float | None:
    if row[column] is None:
        return None
    value = number(row, column)
    if value <= 0.0:
        raise UnreadableColumn(column, "a number above 0")
    return value


def url(row: Row, column: str) -> str:
    """A URL without its last slash; whether its host may be called is asked at each call."""
    text: str = row[column]
    try:
        outbound.parse(text)
    except ValueError as error:
        raise UnreadableColumn(column, str(error)) from None
    return text.rstrip("/")


def _are_texts(values: Any) -> bool:
    return all(isinstance(each, str) for each in values)
