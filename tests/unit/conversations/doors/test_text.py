"""Text that PostgreSQL could not store (A22: NUL; also halves of emojis)."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from conversations.doors import text
from tests.unit.conversations.doors.rest.reading import json_values


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (rb'"a\u0000b"', "a\ufffdb"),
        (rb'"a\ud83d"', "a\ufffd"),
        (rb'"\uDE00a"', "\ufffda"),
        (rb'"\ud83d\ude00"', "\U0001f600"),
        (
            rb'["\ud83d", {"\ud83d\ude00\u0000": "\ud83d\ude00"}]',
            ["\ufffd", {"\U0001f600\ufffd": "\U0001f600"}],
        ),
        (rb'["\ud83d", 1, 123456789012345678901234567890]', ["\ufffd", 1, 1.2345678901234568e29]),
    ],
)
def test_what_cannot_be_stored_is_replaced(raw: bytes, value: Any) -> None:
    assert text.storable_json(text.loads(raw)) == value


@pytest.mark.parametrize(
    "raw",
    [b"nope", b"\xff", rb'["\ud83d", NaN]', rb'["\ud83d"', b"[" * 100_000 + rb'"\ud83d"'],
)
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        text.loads(raw)


@given(json_values)
def test_any_value_can_be_written_afterwards(value: Any) -> None:
    written = orjson.dumps(text.storable_json(value)) if _small(value) else b""

    assert rb"\u0000" not in written


def _small(value: Any) -> bool:
    """Whether orjson writes such numbers at all."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    if isinstance(value, list):
        return all(map(_small, value))
    return not isinstance(value, dict) or all(map(_small, value.values()))
