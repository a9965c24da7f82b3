"""JSON as clients write it: what is repaired, and what stays unreadable."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.doors.lean.lenient_json import (
    MOST_BRACKETS,
    MOST_COMMAS,
    TooManyValues,
    loads,
)
from tests.field import examples

# Surrogates are in it: Python's own writer sends them.
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.text(st.sampled_from('\ud83d\ude00\0"\\u')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"\xef\xbb\xbf [1]\r\n", [1], id="byte order mark"),
        pytest.param('["é"]'.encode("utf-16"), ["é"], id="UTF-16"),
        pytest.param(b'["a\xff"]', ["a\ufffd"], id="no UTF-8"),
        pytest.param(b'["\\ud83d!"]', ["\ufffd!"], id="high half"),
        pytest.param(b'["\\ude00"]', ["\ufffd"], id="low half"),
        pytest.param(b'["\\ud83d\\ude00", "\\ud83d"]', ["\U0001f600", "\ufffd"], id="whole pair"),
        pytest.param(b'{"\\ud83d": 1}', {"\ufffd": 1}, id="half in a key"),
        pytest.param(b'["a\\u0000b"]', ["a\ufffdb"], id="A22 escaped NUL"),
        pytest.param(b'["a\0b"]', ["a\ufffdb"], id="raw NUL"),
        pytest.param(b'{"\\u0000": NaN}', {"\ufffd": None}, id="NUL in a key"),
        pytest.param(b'["\\\\u0000", "\\\\\\u0000"]', ["\\u0000", "\\\ufffd"], id="backslashes"),
        pytest.param(b"[NaN, Infinity, -Infinity, 1e999]", [None] * 4, id="no numbers"),
        pytest.param(b"[123456789012345678901234567890]", [123456789012345678901234567890.0]),
        pytest.param(b'["a\n\tb"]', ["a\n\tb"], id="line break in a string"),
        pytest.param(b'{"a": 1, "a": 2}', {"a": 2}, id="a name twice"),
    ],
)
def test_is_read(raw: bytes, value: Any) -> None:
    assert loads(raw) == value


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[1,]", b"a=1", b"\xff", b"[" * 100_000, b"[" * 1500 + b"]" * 1500]
)
def test_is_not_json(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        loads(raw)


@settings(max_examples=examples(60, 5000), deadline=None)
@given(value=anything, ascii_only=st.booleans())
def test_what_python_writes_can_be_stored(value: Any, ascii_only: bool) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")

    text = orjson.dumps(loads(raw)).decode()

    assert "\0" not in text
    assert orjson.loads(text) == loads(text.encode())


@settings(max_examples=examples(60, 5000), deadline=None)
@given(
    raw=st.binary(max_size=40) | st.text(st.sampled_from('[]{}",:\\u0d83NaN1e.- ')).map(str.encode)
)
def test_any_bytes_are_a_value_or_a_value_error(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        orjson.dumps(loads(raw))


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"1," * (MOST_COMMAS + 1) + b"1]",
        b"[" + b"[[[]]]," * 400_000 + b"1]",
        b"{" + b'"a":1,' * (MOST_BRACKETS + 1) + b'"a":1}',
    ],
    ids=["numbers", "lists", "members"],
)
def test_a_body_of_very_many_values_is_not_read(text: bytes) -> None:
    """12 MB of empty lists held the whole process for 1.6 s."""
    with pytest.raises(TooManyValues):
        loads(text)
