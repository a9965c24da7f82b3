"""JSON as endpoints really send it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from balancing.calls import tolerant
from balancing.calls.halves import MOST_WAITING, Halves


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b'\xef\xbb\xbf {"a": 1}', {"a": 1}),
        (b'["\xe4\xb8"]', ["\ufffd"]),
        (b'["a\tb\nc\x01"]', ["a\tb\nc\x01"]),
        (b"[NaN, -Infinity, Infinity]", [None, None, None]),
        (b'["\\ud83d\\ude00"]', ["\U0001f600"]),
        (b'["\\ud83d"]', ["\ud83d"]),
    ],
)
def test_what_it_reads(text: bytes, value: Any) -> None:
    """A12, X10, X18"""
    assert tolerant.read(text) == value


@pytest.mark.parametrize("text", [b"", b"{", b"{'a': 1}", b"<html>", b"{} {}", b"[" * 100_000])
def test_what_it_refuses(text: bytes) -> None:
    with pytest.raises(ValueError):
        tolerant.read(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": "\u00e9"}, '{"a":"\u00e9"}'),
        (["\ud83d", "\ude00x", "\ud83d\ude00"], '["\ufffd","\ufffdx","\U0001f600"]'),
        ({"\ud83d": 123456789012345678901}, '{"\ufffd":123456789012345678901}'),
        ([float("nan")], "[null]"),
    ],
)
def test_what_it_writes_is_json(value: Any, text: str) -> None:
    """A11, X18"""
    assert tolerant.write(value) == text


def test_what_is_nested_too_deeply_is_not_written() -> None:
    with pytest.raises(TypeError):
        tolerant.write(orjson.loads(b"[" * 400 + b"]" * 400))


def test_few_halves_wait_at_once() -> None:
    """Each chunk looks through all that wait: 3,000 choices cut in two took a second."""
    halves = Halves()

    for index in range(1000):
        halves.mend({"choices": [{"index": index, "delta": {"content": "a\ud83d"}}]})
    last = {"choices": [{"index": 1000, "delta": {"content": "a\ud83d"}}]}
    halves.mend(last)

    assert len(halves.waiting) <= MOST_WAITING
    assert last["choices"][0]["delta"] == {"content": "a\ufffd"}
