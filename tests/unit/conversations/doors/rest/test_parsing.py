"""Bodies, ids and single values: whatever a client sends, a value or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conversations.dialogue.services import MessageDraft
from conversations.doors.rest.protocol import ids, statuses
from conversations.doors.rest.protocol.errors import translate
from conversations.doors.rest.protocol.parsers import EnvelopeJSONParser, contains_nul, parse_object
from conversations.doors.rest.protocol.refusals import Code, RestError
from conversations.doors.rest.requests import drafts, fields
from scheduling.errors import IllegalTransition, QueueFull
from scheduling.models import Priority, Status

# Two cores are shared with other test processes: a slow example is no failure.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def outcome(read: Callable[..., Any], *values: Any, **more: Any) -> Any:
    """What was read, or the refusal; anything else that is raised fails the test."""
    try:
        return read(*values, **more)
    except RestError as error:
        return error


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_a_refusal(raw: bytes) -> None:
    found = outcome(parse_object, raw)

    assert isinstance(found, dict) or found.code is Code.MALFORMED_BODY


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                "content",
                "user_id",
                "conversation_id",
                "priority",
                "model",
                "metadata",
                "scheduled_at",
                "timeout",
            ],
            json_values,
        ),
    )
)
def test_any_object_is_a_draft_or_a_refusal(document: dict[str, Any]) -> None:
    found = outcome(drafts.message, document)

    assert isinstance(found, MessageDraft) or found.http_status in (400, 404)


@given(json_values)
def test_any_change_of_a_conversation_is_read_or_refused(value: Any) -> None:
    names = ["title", "context", "model", "priority", "metadata", "expires_at"]
    for name in names:
        found = outcome(drafts.conversation_changes, {name: value})
        assert isinstance(found, dict) or found.http_status == 400


def test_nul_is_found_wherever_it_is() -> None:
    for value in ("a\x00", ["\x00"], {"\x00": 1}, {"a": {"b": ["c", "\x00"]}}):
        assert contains_nul(value)
    assert not contains_nul({"a": ["\\u0000", 1, None]})


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


class TestIds:
    @given(st.uuids())
    def test_round_trip(self, identifier: UUID) -> None:
        for text in (f"msg_{identifier.hex}", str(identifier), identifier.hex.upper()):
            assert ids.parse(ids.MESSAGE, text) == identifier

    @given(st.text())
    def test_other_text_is_none_or_an_id(self, text: str) -> None:
        assert ids.parse(ids.MESSAGE, text) is None or len(text) >= 32

    @pytest.mark.parametrize(
        "text", ["conv_" + "0" * 32, "{" + "0" * 32 + "}", "urn:uuid:" + "0" * 32, None, 5, []]
    )
    def test_other_kinds_are_none(self, text: Any) -> None:
        assert ids.parse(ids.MESSAGE, text) is None


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


def test_statuses_are_all_named() -> None:
    assert {name for status in Status for name in [statuses.shown(status)]} == set(statuses.NAMES)
    assert statuses.meant("pending") == ["queued", "held"]
    assert statuses.meant("failed") == ["failed"]


def test_refusals_name_their_place_in_a_batch() -> None:
    error = RestError(Code.INVALID_PRIORITY, "no", field="priority").within("messages[3]")

    assert (error.field, error.code) == ("messages[3].priority", Code.INVALID_PRIORITY)


def test_what_scheduling_refuses_has_its_code() -> None:
    full = translate(QueueFull(2.5))

    assert (full.code, full.http_status, full.retry_after_seconds) == (1007, 503, 2.5)
    assert translate(IllegalTransition("completed", "cancelled")).http_status == 409


def test_what_is_not_known_is_hidden() -> None:
    refusal = translate(ValueError("a secret"))

    assert refusal.http_status == 500
    assert "secret" not in refusal.reason


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
