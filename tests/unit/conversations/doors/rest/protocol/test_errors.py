"""Which refusal an exception amounts to."""

from __future__ import annotations

from conversations.doors.rest.protocol.errors import translate
from conversations.doors.rest.protocol.refusals import Code, RestError
from scheduling.errors import IllegalTransition, QueueFull


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
