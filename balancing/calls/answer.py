"""What did an endpoint answer, and how many tokens does it say it used?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import Enum


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
    """The response object as JSON text, the text of its first choice, and its usage.

    Attributes:
        prompt_tokens, completion_tokens: None where the endpoint told none, or an absurd one.
        estimated: whether a count is ours, although the endpoint told another.
    """

    body: str = ""
    text: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int = 0
    estimated: bool = False
    first_token_at: datetime | None = None

    @property
    def tokens(self) -> int | None:
        """Input and output tokens together; None if the endpoint did not count its input."""
        if self.prompt_tokens is None:
            return None
        return self.prompt_tokens + (self.completion_tokens or 0)
