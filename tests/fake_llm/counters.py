"""What the endpoint has seen: `GET /stats`, and call by call `GET /journal`."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Call:
    """One generation; times are `time.monotonic()`, which all processes of a machine share.

    `tag` is the prompt's first word. `ended` is None while it runs.
    """

    tag: str
    began: float
    ended: float | None = None


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
    journal: list[Call] | None = None
    """Call by call, from the first time it was asked for."""

    def begin(self, prompt: str) -> Call:
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        self.by_prompt[prompt] += 1
        call = Call(prompt[:100].partition(" ")[0], time.monotonic())
        if self.journal is not None:
            self.journal.append(call)
        return call

    def end(self, call: Call) -> None:
        self.running -= 1
        call.ended = time.monotonic()

    def take_journal(self) -> list[tuple[str, float, float | None]]:
        """The calls since this was last asked; those that run are told again when they ended."""
        calls = self.journal or []
        self.journal = [call for call in calls if call.ended is None]
        return [(call.tag, call.began, call.ended) for call in calls]

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
