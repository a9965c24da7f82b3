"""What the endpoint has seen: `GET /stats`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Counters:
    requests: int = 0
    running: int = 0
    max_running: int = 0
    completed: int = 0
    cancelled: int = 0
    """Clients that hung up before the answer was complete."""
    failures: int = 0
    """Answered with an error, or cut on purpose."""
    rejected: int = 0
    """Answered 429 because `max_concurrent` were running (also counted in `failures`)."""
    tokens: int = 0
    attempts: Counter[str] = field(default_factory=Counter)
    """Prompt -> requests that carried it, failed ones included."""
    by_prompt: Counter[str] = field(default_factory=Counter)
    """Prompt -> times its generation began."""

    def begin(self) -> None:
        self.running += 1
        self.max_running = max(self.max_running, self.running)

    def as_dict(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in NUMBERS}
        return {**plain, "attempts": dict(self.attempts), "by_prompt": dict(self.by_prompt)}


NUMBERS = (
    "requests",
    "running",
    "max_running",
    "completed",
    "cancelled",
    "failures",
    "rejected",
    "tokens",
)
