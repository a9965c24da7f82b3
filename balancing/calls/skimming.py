"""Finds the members of a large JSON object without reading what is in them.

Two thousand embeddings are tens of megabytes. Building a Python object of each number would take
most of a second, in which nothing else of the process runs. Here each step takes a fraction of a
millisecond, and other threads run between the steps.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from balancing.calls.soundness import are_vectors

_STRUCTURE = re.compile(rb'["\[\]{}]')
_BLANK = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"[^,}\]\s]+")
# What only a tolerant reader can read; in base64 these words are seldom, and cost only time.
_ODD = (b"NaN", b"Infinity")
_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}


class Skimmed:
    """The members of an object: name -> where the value begins and ends."""

    def __init__(self, data: bytes, members: dict[str, tuple[int, int]]) -> None:
        self._data = data
        self.members = members

    def value(self, name: str) -> Any:
        """The value of a member that is not large; None without it."""
        if name not in self.members:
            return None
        start, end = self.members[name]
        return orjson.loads(self._data[start:end])

    def written(self, changed: dict[str, Any]) -> str:
        """The object as it came, but for the values of some members."""
        parts, at = [], 0
        for name in sorted(changed, key=lambda name: self.members[name]):
            start, end = self.members[name]
            parts += [self._data[at:start], orjson.dumps(changed[name])]
            at = end
        return b"".join([*parts, self._data[at:]]).decode()


def skim(data: bytes) -> Skimmed | None:
    """The members of an object that holds embeddings; None where it is to be read in full."""
    try:
        if any(word in data for word in _ODD) or not data.isascii():
            return None
        skimmed = Skimmed(data, _members(data))
        return skimmed if _has_vectors(data, skimmed) else None
    except (ValueError, IndexError):
        return None


def _has_vectors(data: bytes, skimmed: Skimmed) -> bool:
    if "data" not in skimmed.members or "error" in skimmed.members:
        return False
    start, _ = skimmed.members["data"]
    if data[start : start + 1] != b"[":
        return False
    first = _skip_blank(data, start + 1)
    return are_vectors([orjson.loads(data[first : _end_of_value(data, first)])])


def _members(data: bytes) -> dict[str, tuple[int, int]]:
    """
    Raises:
        ValueError, IndexError: it is not one whole object.
    """
    members: dict[str, tuple[int, int]] = {}
    at = _skip_blank(data, 0)
    _expect(data, at, b"{")
    while data[at : at + 1] != b"}":
        start = _skip_blank(data, at + 1)
        end = _end_of_value(data, start)
        name = orjson.loads(data[start:end])
        at = _skip_blank(data, end)
        _expect(data, at, b":")
        start = _skip_blank(data, at + 1)
        end = _end_of_value(data, start)
        members[name] = (start, end)
        at = _skip_blank(data, end)
        if data[at : at + 1] not in (b",", b"}"):
            raise ValueError("no end of a member")
    if _skip_blank(data, at + 1) != len(data):
        raise ValueError("something follows the object")
    return members


def _end_of_value(data: bytes, start: int) -> int:
    first = data[start]
    if first == ord('"'):
        return _end_of_string(data, start)
    if first not in _CLOSING:
        found = _SCALAR.match(data, start)
        if found is None:
            raise ValueError("no value")
        return found.end()
    open_: list[int] = []
    at = start
    while True:
        found = _STRUCTURE.search(data, at)
        if found is None:
            raise ValueError("no end of a value")
        char, at = data[found.start()], found.end()
        if char == ord('"'):
            at = _end_of_string(data, found.start())
        elif char in _CLOSING:
            open_.append(_CLOSING[char])
        elif char != open_.pop():
            raise ValueError("wrong bracket")
        elif not open_:
            return at


def _end_of_string(data: bytes, start: int) -> int:
    at = start + 1
    while True:
        at = data.index(b'"', at)
        before = at
        while data[before - 1] == ord("\\"):
            before -= 1
        at += 1
        if (at - 1 - before) % 2 == 0:
            return at


def _skip_blank(data: bytes, at: int) -> int:
    found = _BLANK.match(data, at)
    return found.end() if found else at


def _expect(data: bytes, at: int, char: bytes) -> None:
    if data[at : at + 1] != char:
        raise ValueError(f"no {char!r}")
