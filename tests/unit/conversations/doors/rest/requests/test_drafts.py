"""Whatever a client sends, a draft or a refusal."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from conversations.dialogue.drafts import MessageDraft
from conversations.doors.rest.requests import drafts
from tests.unit.conversations.doors.rest.reading import json_values, outcome


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
