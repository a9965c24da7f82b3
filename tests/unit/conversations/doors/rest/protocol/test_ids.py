"""Ids at the REST door: with their prefix, or plain UUIDs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.doors.rest.protocol import ids


@given(st.uuids())
def test_round_trip(identifier: UUID) -> None:
    for text in (f"msg_{identifier.hex}", str(identifier), identifier.hex.upper()):
        assert ids.parse(ids.MESSAGE, text) == identifier


@given(st.text())
def test_other_text_is_none_or_an_id(text: str) -> None:
    assert ids.parse(ids.MESSAGE, text) is None or len(text) >= 32


@pytest.mark.parametrize(
    "text", ["conv_" + "0" * 32, "{" + "0" * 32 + "}", "urn:uuid:" + "0" * 32, None, 5, []]
)
def test_other_kinds_are_none(text: Any) -> None:
    assert ids.parse(ids.MESSAGE, text) is None
