"""Cuts the bytes of a streamed answer into events, without I/O and in linear time.

`EventLines` reads server-sent events by the rules of WHATWG
(html.spec.whatwg.org/multipage/server-sent-events.html), `JsonLines` one JSON object a line. Both
are more liberal than their rules where real servers are: an event whose first line is a whole
object needs no blank line behind it, llama.cpp writes `error: {...}`, and gateways write a bare
error object.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Protocol

import orjson

from balancing.calls import tolerant

DONE = b"[DONE]"
# Work on more bytes at once would hold up the other calls of the process.
LARGE = 1024 * 1024
# A line of an event stream. An unknown field may stand before it.
_FIELD = re.compile(rb"(?:^|[\r\n])(?:data|event|id|retry|error)?:")
_UNDECIDED_BYTES = 4096
# Lines of one event that are tried as events of their own: more are none.
MOST_APART = 1000


class Event(NamedTuple):
    """An event of which there is more to say than the object that is its data.

    Attributes:
        payload: its data as it came.
        found: the JSON value of its data; None if it is not JSON.
        name: of the event; empty for most.
        odd: whether only the tolerant reader could read it.
    """

    payload: bytes
    found: Any = None
    name: bytes = b""
    odd: bool = False


# Most events are an object and nothing else.
Events = list[Event | dict[str, Any]]


class Cutter(Protocol):
    """Cuts bytes into events."""

    def feed(self, data: bytes) -> Events:
        """The events that these bytes complete."""
        ...

    def end(self) -> Events:
        """The event that the end of the stream completes."""
        ...


class _Lines:
    """Lines that end in CR LF, LF or CR, however they are cut."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._after_cr = False

    def _cut(self, data: bytes) -> list[bytes]:
        if self._after_cr or b"\r" in data:
            if self._after_cr:
                data = data.removeprefix(b"\n")
            # The line ends at once, whatever follows: a reader must not wait for it.
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = data.split(b"\n")
        if self._parts:
            if len(lines) == 1:
                self._parts.append(data)
                return []
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts = []
        rest = lines.pop()
        if rest:
            self._parts.append(rest)
        return lines

    def _last(self) -> bytes:
        """What came behind the last line end."""
        rest, self._parts = b"".join(self._parts), []
        return rest


class EventLines(_Lines):
    """The events of a `text/event-stream`."""

    def __init__(self) -> None:
        super().__init__()
        self._data: list[bytes] = []
        self._name = b""

    def feed(self, data: bytes) -> Events:
        events: Events = []
        for line in self._cut(data):
            if not line:
                if self._data or self._name:
                    events += self._dispatched()
            elif line.startswith(b"data:") and not self._data:
                payload = line[5:]
                try:
                    found = orjson.loads(payload)
                except orjson.JSONDecodeError:
                    found = None
                if type(found) is not dict:
                    self._data.append(_value(payload))
                elif self._name or len(payload) > LARGE:
                    events.append(Event(payload, found, self._name))
                else:
                    events.append(found)
            else:
                events += self._take(line)
        return events

    def end(self) -> Events:
        """By WHATWG an event without its blank line is dropped; here it counts if it is whole."""
        rest = self._last()
        events = self._take(rest) if rest else []
        return [*events, *self._whole()]

    def _whole(self) -> list[Event]:
        return [e for e in self._dispatched() if e.found is not None or e.payload == DONE]

    def _take(self, line: bytes) -> list[Event]:
        field, _, value = line.partition(b":")
        match field:
            case b"data":
                self._data.append(_value(value))
            case b"event":
                self._name = _value(value)
            case b"error":
                return [_event(_value(value), b"error")]
            case _ if line.startswith(b"{"):
                found = _event(line, b"error")
                return [found] if found.found is not None else []
        return []

    def _dispatched(self) -> list[Event]:
        lines, name = self._data, self._name
        self._data, self._name = [], b""
        if not any(lines):
            return []
        event = _event(b"\n".join(lines), name)
        if event.found is None and 1 < len(lines) <= MOST_APART:
            return _apart(lines, name) or [event]
        return [event]


class JsonLines(_Lines):
    """One JSON object a line (NDJSON), as some servers stream."""

    def feed(self, data: bytes) -> Events:
        return [_event(line) for line in self._cut(data) if line.strip()]

    def end(self) -> Events:
        rest = self._last().strip()
        return [_event(rest)] if rest else []


def is_event_stream(head: bytes, *, labelled: bool) -> bool | None:
    """Whether an answer that begins so is an event stream; None while more is needed.

    Args:
        head: without a byte order mark and white space before it.
        labelled: whether its `Content-Type` says so.
    """
    if tolerant.BOM.startswith(head):
        return None
    if head[:1] in b'{["<':
        return False
    if labelled or _FIELD.search(head):
        return True
    return None if len(head) < _UNDECIDED_BYTES else False


def begins_with_a_chunk(head: bytes) -> bool:
    """Whether the first line is a whole chunk of a stream."""
    line, end, _ = head.partition(b"\n")
    if not end or not line.rstrip().endswith(b"}"):
        return False
    try:
        found = tolerant.read(line)
    except ValueError:
        return False
    return is_chunk(found)


def is_chunk(found: Any) -> bool:
    """Whether it has the shape of a chunk of a chat's stream."""
    choices = found.get("choices") if isinstance(found, dict) else None
    if not isinstance(choices, list):
        return False
    named = str(found.get("object")).endswith(".chunk")
    return named or any(isinstance(c, dict) and "delta" in c for c in choices)


def _apart(lines: list[bytes], name: bytes) -> list[Event]:
    """The lines as events, of a server that leaves out the blank lines; none if one is no event."""
    events = []
    for line in filter(None, lines):
        event = _event(line, name)
        if event.found is None and event.payload != DONE:
            return []
        events.append(event)
    return events


def _value(text: bytes) -> bytes:
    return text.removeprefix(b" ")


def _event(payload: bytes, name: bytes = b"") -> Event:
    payload = payload.strip()
    while payload.startswith(b"data:"):
        # A gateway that makes events of another server's events.
        payload = payload[5:].lstrip()
    try:
        return Event(payload, orjson.loads(payload), name)
    except orjson.JSONDecodeError:
        pass
    try:
        return Event(payload, tolerant.read(payload), name, odd=True)
    except ValueError:
        return Event(payload, None, name)
