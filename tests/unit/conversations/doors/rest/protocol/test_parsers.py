"""Request bodies: an object, or a refusal."""

from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.doors.rest.protocol.parsers import EnvelopeJSONParser, parse_object
from conversations.doors.rest.protocol.refusals import Code, RestError
from tests.unit.conversations.doors.rest.reading import outcome


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_refusal(raw: bytes) -> None:
    found = outcome(parse_object, raw)

    assert isinstance(found, dict) or found.code is Code.MALFORMED_BODY


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_an_escaped_backslash_is_no_nul() -> None:
    assert parse_object(rb'{"a": "\\u0000"}') == {"a": "\\u0000"}


def test_a_body_beyond_the_limit_is_not_read_to_its_end() -> None:
    class Endless(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert size > 0
            return b"x" * size

    with pytest.raises(RestError) as caught:
        EnvelopeJSONParser().parse(Endless())

    assert caught.value.code is Code.BODY_TOO_LARGE
