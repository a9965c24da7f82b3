"""The lean application with its doors: an API that holds connections adds its door here."""

from __future__ import annotations

from conversations.doors.lean import health
from conversations.doors.lean.app import LeanApplication
from conversations.doors.openai.door import DOOR as OPENAI
from conversations.doors.rest import events
from stores.memory import Memory


def lean_application(memory: Memory) -> LeanApplication:
    """The lean application of a web process."""
    # Health has no error format, and the event streams refuse as /v1 does.
    doors = (OPENAI, events.door(OPENAI.errors), health.door(OPENAI.errors))
    return LeanApplication(memory, doors)
