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

# `N` and `I` begin `NaN` and `Infinity`, which only the tolerant reader can read.
_STRUCTURE = re.compile(rb'["\[\]{}NI]')
_BLANK = re.compile(rb"[ \t\r\n]*")
_SCALAR = re.compile(rb"(?:[-+.0-9eE]+|true|false|null)(?=[,}\]\s])")
_CLOSING = {ord("["): ord("]"), ord("{"): ord("}")}


Data = bytes | bytearray


class Skimmed:
    """The members of an object: name -> where the value begins and ends."""

    def __init__(self, data: Data, members: dict[str, tuple[int, int]]) -> None:
        self._data = data
        self.members = members

    def value(self, name: str) -> Any:
        """The value of a member that is not large; None without it."""
        if name not in self.members:
            return None
        start, end = self.members[name]
        return orjson.loads(self._data[start:end])

    def written(self, changed: dict[str, Any]) -> str:
        """The object as it came, but for the values of some members.

        Raises:
            UnicodeDecodeError: it is not UTF-8.
        """
        if not changed:
            return self._data.decode()
        parts, at = [], 0
        view = memoryview(self._data)
        for name in sorted(changed, key=lambda name: self.members[name]):
            start, end = self.members[name]
            parts += [str(view[at:start], "utf-8"), orjson.dumps(changed[name]).decode()]
            at = end
        return "".join([*parts, str(view[at:], "utf-8")])


def skim(data: Data) -> Skimmed | None:
    """The members of an object that holds embeddings; None where it is to be read in full."""
    try:
        skimmed = Skimmed(data, _members(data))
        return skimmed if _has_vectors(data, skimmed) else None
    except (ValueError, IndexError):
        return None


def is_whole(data: Data) -> bool:
    """Whether brackets and strings are closed, and nothing follows; no value is read."""
    try:
        return _skip_blank(data, _end_of_value(data, _skip_blank(data, 0))) == len(data)
    except (ValueError, IndexError):
        return False


def _has_vectors(data: Data, skimmed: Skimmed) -> bool:
    if "data" not in skimmed.members or "error" in skimmed.members:
        return False
    start, _ = skimmed.members["data"]
    if data[start : start + 1] != b"[":
        return False
    first = _skip_blank(data, start + 1)
    return are_vectors([orjson.loads(data[first : _end_of_value(data, first)])])


def _members(data: Data) -> dict[str, tuple[int, int]]:
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


def _end_of_value(data: Data, start: int) -> int:
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
        elif not open_ or char != open_.pop():
            raise ValueError("wrong bracket, or no number")
        elif not open_:
            return at


def _end_of_string(data: Data, start: int) -> int:
    at = start + 1
    while True:
        at = data.index(b'"', at)
        before = at
        while data[before - 1] == ord("\\"):
            before -= 1
        at += 1
        if (at - 1 - before) % 2 == 0:
            return at


def _skip_blank(data: Data, at: int) -> int:
    found = _BLANK.match(data, at)
    return found.end() if found else at


def _expect(data: Data, at: int, char: bytes) -> None:
    if data[at : at + 1] != char:
        raise ValueError(f"no {char!r}")
