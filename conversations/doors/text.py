"""Which text can be stored? Any but NUL characters and halves of surrogate pairs.

Clients send both: NUL comes from PDFs and terminals, halves come from JavaScript that cuts a string
in the middle of an emoji. PostgreSQL stores neither.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

REPLACEMENT = "\ufffd"
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LONGEST_INT = 18  # digits that always fit into 64 bits


def loads(raw: bytes) -> Any:
    """The JSON value in `raw`. Halves of surrogate pairs are kept for `storable` to replace.

    Raises:
        orjson.JSONDecodeError: it is not JSON.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        # orjson takes no half of a pair, and only an escape can stand for one.
        if b"\\ud" not in raw.lower():
            raise
        try:
            return json.loads(raw, parse_int=_number, parse_constant=_refuse)
        except (ValueError, RecursionError):
            pass
        raise


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None


def storable(text: str) -> str:
    """The text with U+FFFD in place of what cannot be stored."""
    return text if is_storable(text) else _UNSTORABLE.sub(REPLACEMENT, text)


def storable_json(value: Any) -> Any:
    """A JSON value with `storable` strings and keys. Its depth is what the parser allowed."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): storable_json(part) for name, part in value.items()}
    if isinstance(value, list):
        return [storable_json(part) for part in value]
    return value


def _number(digits: str) -> int | float:
    # As orjson does: a larger whole number is read as a float.
    return int(digits) if len(digits) <= _LONGEST_INT else float(digits)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
