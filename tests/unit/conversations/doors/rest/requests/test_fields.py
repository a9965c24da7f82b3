"""Single values of a request: times, metadata, priorities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations.doors.rest.protocol.refusals import RestError
from conversations.doors.rest.requests import fields
from scheduling.models import Priority
from tests.unit.conversations.doors.rest.reading import outcome

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class TestTimes:
    def test_a_zone_is_required(self) -> None:
        with pytest.raises(RestError):
            fields.instant("2026-11-23T10:00:00", "scheduled_at", now=NOW)

    def test_any_zone_will_do(self) -> None:
        found = fields.instant("2026-11-23T10:00:00+02:00", "scheduled_at", now=NOW)

        assert found == datetime(2026, 11, 23, 8, tzinfo=UTC)

    def test_a_year_ahead_is_the_furthest(self) -> None:
        late = (NOW + timedelta(days=367)).isoformat()

        with pytest.raises(RestError):
            fields.instant(late, "scheduled_at", now=NOW)

    @given(st.text(max_size=40))
    def test_any_text_is_a_time_or_a_refusal(self, text: str) -> None:
        found = outcome(fields.instant, text, "scheduled_at", now=NOW)

        assert isinstance(found, datetime) or found.field == "scheduled_at"


def test_metadata_is_bounded() -> None:
    assert fields.metadata({"a": 1}) == {"a": 1}
    refused: list[Any] = [
        [],
        "x",
        {"a": "b" * 20_000},
        orjson.loads(b'{"a":' * 300 + b"1" + b"}" * 300),
    ]
    for bad in refused:
        with pytest.raises(RestError):
            fields.metadata(bad)


def test_priorities_are_the_levels_names() -> None:
    assert fields.priority("high") is Priority.HIGH
    assert fields.priority(None) is None
    refused: list[Any] = ["HIGH", "", 1, True, [], {}]
    for bad in refused:
        with pytest.raises(RestError):
            fields.priority(bad)
