"""What goes upstream for a turn: system prompt, the conversation so far, the new message.

A turn that got no answer stays visible as a short note in the assistant's place: many chat
templates refuse two user messages in a row. A cancelled turn was withdrawn and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

HISTORY_TURNS = 100
HISTORY_CHARS = 200_000


@dataclass(frozen=True, slots=True)
class Turn:
    """A finished turn: what was asked and what came of it.

    Attributes:
        answer: None when there is none.
        outcome: the job's status, for the note in place of an answer.
    """

    question: str
    answer: str | None
    outcome: str = "completed"


def body(*, model: str, context: str, history: Sequence[Turn], content: str) -> str:
    """The JSON text of a streamed OpenAI chat request, the history shortened to what fits."""
    messages = [{"role": "system", "content": context}] if context else []
    for turn in recent(history):
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": answer_or_note(turn)})
    messages.append({"role": "user", "content": content})
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps({"model": model, "messages": messages, **streamed}).decode()


def answer_or_note(turn: Turn) -> str:
    if turn.answer is not None:
        return turn.answer
    return f"[This turn got no answer: {turn.outcome}.]"


def recent(history: Iterable[Turn]) -> list[Turn]:
    """The latest whole turns within the limits, oldest first."""
    kept: list[Turn] = []
    room = HISTORY_CHARS
    for turn in reversed(list(history)[-HISTORY_TURNS:]):
        room -= len(turn.question) + len(turn.answer or "")
        if room < 0:
            break
        kept.append(turn)
    return kept[::-1]
