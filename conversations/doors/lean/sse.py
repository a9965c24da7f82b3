"""How are server-sent events written? The headers of a stream, its events and its comments."""

from __future__ import annotations

STREAM = (
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
)


def event(data: str, *, name: str = "", identifier: str = "") -> bytes:
    """One event. `data` holds no line break: it is JSON text."""
    head = (f"id: {identifier}\n" if identifier else "") + (f"event: {name}\n" if name else "")
    return f"{head}data: {data}\n\n".encode()


def comment(text: str) -> bytes:
    """A line that clients skip. It keeps the connection open and informs people."""
    return f": {text}\n\n".encode()
