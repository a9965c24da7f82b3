"""What did an endpoint answer, and how many tokens does it say it used?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any


class Piece(Enum):
    """What a chunk holds; a client that has no CONTENT yet can be served by another endpoint."""

    # Text, reasoning, a tool call's delta, or the reason why the answer is finished.
    CONTENT = 1
    # A role, an empty delta, a filter's verdict: nothing that a reader would miss.
    FRAME = 2
    # Nothing but the final token counts.
    USAGE = 3


# Gets each chunk as JSON text, and what it holds.
OnChunk = Callable[[str, Piece], None]


@dataclass(slots=True)
class Answer:
    """The response object as JSON text, the text of its first choice, and its usage."""

    body: str = ""
    text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    first_token_at: datetime | None = None

    @property
    def tokens(self) -> int | None:
        """Input and output tokens together; None if the endpoint did not count its input."""
        if self.prompt_tokens is None:
            return None
        return self.prompt_tokens + (self.completion_tokens or 0)

    def take_usage(self, usage: Any) -> None:
        """Take the counts of OpenAI's `usage` object; an impossible count stays unknown."""
        if not isinstance(usage, dict):
            return
        self.prompt_tokens = _count(usage.get("prompt_tokens"))
        self.completion_tokens = _count(usage.get("completion_tokens"))
        details = usage.get("prompt_tokens_details")
        if isinstance(details, dict):
            self.cached_tokens = _count(details.get("cached_tokens")) or 0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value < 2**31 else None
