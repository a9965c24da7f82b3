"""Which doors does the lean application serve? An API with held connections adds its door here."""

from __future__ import annotations

from conversations.doors.lean import health
from conversations.doors.lean.app import LeanApplication
from conversations.doors.openai.door import DOOR as OPENAI
from conversations.doors.rest import events
from stores.memory import Memory


def lean_application(memory: Memory) -> LeanApplication:
    """The lean application of a web process."""
    doors = (OPENAI, events.DOOR, health.door(OPENAI.errors))  # health has no format of its own
    return LeanApplication(memory, doors)
