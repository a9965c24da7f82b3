"""Server-sent events as bytes."""

from __future__ import annotations

from conversations.doors.lean import sse


def test_an_event_of_data_alone() -> None:
    assert sse.event("{}") == b"data: {}\n\n"


def test_an_event_with_name_and_identifier() -> None:
    assert sse.event('{"a":"é"}', name="delta", identifier="1.2") == (
        'id: 1.2\nevent: delta\ndata: {"a":"é"}\n\n'.encode()
    )


def test_a_comment() -> None:
    assert sse.comment("queued position=1") == b": queued position=1\n\n"
