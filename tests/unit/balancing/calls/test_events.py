"""Bytes cut into events."""

from __future__ import annotations

import time

import pytest

from balancing.calls.events import (
    Event,
    EventLines,
    JsonLines,
    begins_with_a_chunk,
    is_event_stream,
)


def found(data: bytes, size: int = 0, cutter: EventLines | JsonLines | None = None) -> list[object]:
    """The values of the events; None for one that is not JSON."""
    cutter = cutter or EventLines()
    parts = [data[at : at + size] for at in range(0, len(data), size)] if size else [data]
    events = [event for part in parts for event in cutter.feed(part)]
    return [event.found if isinstance(event, Event) else event for event in events + cutter.end()]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7])
@pytest.mark.parametrize(
    "data",
    [
        b'data: {"a":1}\n\ndata: {"b":2}\n\n',
        b'data: {"a":1}\r\n\r\ndata: {"b":2}\r\n\r\n',
        b'data: {"a":1}\r\rdata: {"b":2}\r\r',
        b'data:{"a":1}\n\ndata:{"b":2}\n\n',
        b'data: {"a":\ndata: 1}\n\ndata: {\r\ndata: "b":\rdata:2}\n\n',
        b': hi\nevent: x\nid: 7\ndata: {"a":1}\n\n:\n\ndata\n\ndata:\n\ndata: {"b":2}\n\n',
        b'data: {"a":1}\n\ndata: {"b":2}',
        b'data: {"a":1}\ndata: {"b":2}\n',
        b'data : {"x":1}\nfoo: {"x":1}\ndata: {"a":1}\n\ndata: {"b":2}\n\n',
    ],
)
def test_all_legal_line_ends_read_alike(data: bytes, size: int) -> None:
    """A13"""
    assert found(data, size) == [{"a": 1}, {"b": 2}]


def test_a_line_ends_before_the_next_one_begins() -> None:
    """A13: a CR ends its line at once; a reader does not wait for the LF that may follow."""
    assert EventLines().feed(b'data: {"a":1}\r') == [{"a": 1}]


def test_the_name_of_an_event() -> None:
    named, plain = EventLines().feed(b'event: error\ndata: {"a":1}\n\ndata: {"b":2}\n\n')

    assert isinstance(named, Event)
    assert (named.name, named.found) == (b"error", {"a": 1})
    assert plain == {"b": 2}


@pytest.mark.parametrize("data", [b'error: {"message":"x"}\n\n', b'{"error":{"message":"x"}}\n\n'])
def test_errors_without_a_field_of_their_own(data: bytes) -> None:
    (event,) = EventLines().feed(data)

    assert isinstance(event, Event)
    assert event.name == b"error"


def test_a_cut_event_is_not_one_at_the_end() -> None:
    assert found(b'data: {"a":1}\n\ndata: {"b":') == [{"a": 1}]


def test_json_lines() -> None:
    data = b'{"a":1}\n\n{"b":2}\r\n{"c":3}'

    assert found(data, 4, JsonLines()) == [{"a": 1}, {"b": 2}, {"c": 3}]
    assert begins_with_a_chunk(b'{"choices":[{"delta":{}}]}\n{"cho')
    assert not begins_with_a_chunk(b'{"choices":[{"message":{}}]}\n')
    assert not begins_with_a_chunk(b'{\n"choices": [')


@pytest.mark.parametrize(
    ("head", "streamed"),
    [
        (b"", None),
        (b"da", None),
        (b"data", None),
        (b"data:", True),
        (b": ping", True),
        (b"event:x", True),
        (b"\xef\xbb", None),
        (b'{"a"', False),
        (b"<html>", False),
        (b"[", False),
        (b"datum", None),
        (b"foo: 1\ndata: 1", True),
        (b"oops" * 2000, False),
    ],
)
def test_the_first_bytes_decide(head: bytes, streamed: bool | None) -> None:
    """A9"""
    assert is_event_stream(head, labelled=False) is streamed


def test_one_line_of_megabytes_is_cut_in_linear_time() -> None:
    """X7"""
    cutter, part = EventLines(), b"x" * 65_536
    began = time.process_time()

    cutter.feed(b'data: {"a":"')
    for _ in range(400):
        cutter.feed(part)
    (event,) = cutter.feed(b'"}\n\n')

    assert isinstance(event, Event)
    assert len(event.payload) > 26_000_000
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("line", [b"data:x\n", b"data:1\n"])
def test_an_event_of_very_many_lines_is_one_event(line: bytes) -> None:
    """Kind 4: no line is read twice, however many there are; 3 s were others' wait."""
    cutter, began = EventLines(), time.monotonic()

    events = [*cutter.feed(line * 200_000), *cutter.feed(b"\n")]

    assert [event.found for event in events if isinstance(event, Event)] == [None]
    assert time.monotonic() - began < 1.0
