"""How does the OpenAPI document describe a message's event stream?"""

from __future__ import annotations

from typing import Any

from conversations.doors.lean.openapi import header, operation


def paths() -> dict[str, Any]:
    return {"/api/v1/messages/{message_id}/events": {"get": _events()}}


def _events() -> dict[str, Any]:
    found = operation(
        "messages",
        "stream_message_events",
        "Server-sent events of one message: `queued` (position, eta), `started`, `delta`, "
        "`reset`, `completed`, `error`. `Last-Event-ID` resumes.",
        {
            "200": {
                "description": "The events, live",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "401": {"description": "1011: no valid API key"},
            "404": {"description": "1004: no such message"},
            "503": {"description": "2003, 2006, 2007: try again after Retry-After"},
        },
    )
    identifier = {"name": "message_id", "in": "path", "required": True}
    found["parameters"] = [
        identifier | {"schema": {"type": "string"}},
        header("Last-Event-ID"),
    ]
    return found
