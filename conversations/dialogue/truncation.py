"""Which turns of a conversation still fit into the model's context? Pure policies, by name.

A policy gets turns, oldest first, and the number of tokens that there is room for. It keeps whole
turns only. Tokens are estimated as in `analysis.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from conversations.priority.analysis import estimated_tokens

# About what a chat template adds to each message.
MESSAGE_TOKENS = 4


class DoesNotFit(Exception):
    """The history does not fit, and the policy drops nothing."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished turn: the question, and its answer or outcome.

    Attributes:
        answer: None if there is none.
        outcome: the job's status, for the note in place of an answer.
    """

    question: str
    answer: str | None
    outcome: str = "completed"

    @property
    def reply(self) -> str:
        """The answer, or a note in its place."""
        if self.answer is not None:
            return self.answer
        return f"[This turn got no answer: {self.outcome}.]"

    @property
    def tokens(self) -> int:
        return message_tokens(self.question) + message_tokens(self.reply)


Policy = Callable[[Sequence[Turn], int], list[Turn]]


def message_tokens(text: str) -> int:
    return estimated_tokens(text) + MESSAGE_TOKENS


def drop_oldest(turns: Sequence[Turn], room: int) -> list[Turn]:
    """The latest turns that fit, without a gap."""
    kept: list[Turn] = []
    for turn in reversed(turns):
        room -= turn.tokens
        if room < 0:
            break
        kept.append(turn)
    return kept[::-1]


def keep_first_and_last(turns: Sequence[Turn], room: int) -> list[Turn]:
    """The first turn, which often states the topic, and the latest turns that fit beside it."""
    if not turns or turns[0].tokens > room:
        return drop_oldest(turns, room)
    return [turns[0], *drop_oldest(turns[1:], room - turns[0].tokens)]


def refuse(turns: Sequence[Turn], room: int) -> list[Turn]:
    """All of them.

    Raises:
        DoesNotFit: they are too long.
    """
    if sum(turn.tokens for turn in turns) > room:
        raise DoesNotFit
    return list(turns)


POLICIES: Mapping[str, Policy] = {
    "drop_oldest": drop_oldest,
    "keep_first_and_last": keep_first_and_last,
    "refuse": refuse,
}
