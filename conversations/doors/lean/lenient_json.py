"""How is JSON read that a client wrote? As it was meant, where that is plain.

Python's and JavaScript's own writers produce NaN and halves of surrogate pairs. What cannot be
stored or sent on becomes U+FFFD, the replacement character: U+0000, halves of surrogate pairs,
bytes that are no UTF-8. NaN, infinities and numbers beyond a double become null, as JavaScript
writes them. A byte order mark is skipped, UTF-16 and UTF-32 are read, and a line break or a tab in
a string is itself.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

# An escape in a JSON text: a surrogate pair; a NUL or half of a pair; any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u0000|u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_NUL = b"\\u0000"
# A longer number may not fit into 64 bits.
_MOST_DIGITS = 18
# Reading holds the whole process: a body of 50 MB in a few strings takes 0.1 s, in small numbers
# many seconds, in empty lists and in members of objects more still. Commas stand between values,
# and a few in texts, as the others do.
MOST_COMMAS = 2_000_000
MOST_BRACKETS = 1_000_000


class TooManyValues(ValueError):
    pass


def loads(raw: bytes) -> Any:
    """The value of a JSON text; PostgreSQL can store every text in it.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
        TooManyValues: reading it would take too long.
    """
    check_size(raw)
    for repaired in (_without_nul, _with_whole_escapes):
        try:
            return orjson.loads(repaired(raw))
        except orjson.JSONDecodeError:
            continue
    return orjson.loads(_without_nul(_repaired(raw)))


def check_size(raw: bytes) -> None:
    """
    Raises:
        TooManyValues
    """
    if len(raw) <= MOST_BRACKETS:
        return
    if raw.count(b",") > MOST_COMMAS:
        raise TooManyValues(f"it has more than {MOST_COMMAS:,} commas")
    if sum(map(raw.count, (b"[", b"{", b":"))) > MOST_BRACKETS:
        raise TooManyValues(f"it has more than {MOST_BRACKETS:,} brackets and colons")


def _without_nul(raw: bytes) -> bytes:
    """Only an escape can stand for a NUL in valid JSON; most texts have none."""
    return _with_whole_escapes(raw) if _NUL in raw else raw


def _with_whole_escapes(raw: bytes) -> bytes:
    """The text with U+FFFD in place of escapes of a NUL or of half a surrogate pair."""
    return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], raw)


def _repaired(raw: bytes) -> bytes:
    """A text that orjson refuses, read by the tolerant standard library and written again."""
    text = raw.decode(json.detect_encoding(raw), "replace")
    try:
        value = json.loads(
            text,
            strict=False,
            parse_constant=lambda _: None,
            parse_int=_integer,
            parse_float=_number,
        )
        written = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    # In UTF-16 two halves that stand together are one character.
    whole = written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.encode()


def _integer(digits: str) -> int | float | None:
    return int(digits) if len(digits) <= _MOST_DIGITS else _number(digits)


def _number(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None
