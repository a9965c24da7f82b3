"""What is sent upstream for a turn: system prompt, the conversation so far, the new message.

A turn without an answer is shown as a short note in the assistant's place, because many chat
templates refuse two user messages in a row. A cancelled turn was withdrawn and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from conversations.dialogue.truncation import (
    POLICIES,
    DoesNotFit,
    Turn,
    drop_oldest,
    message_tokens,
)
from llmqueue_project.config import configuration

# The most turns that one prompt takes from the database, however long the model's context is.
HISTORY_TURNS = 100

__all__ = ["HISTORY_TURNS", "Prompt", "Turn", "prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request body, and what became of the conversation's history in it.

    `history` is stored with the message, for people: how many `turns` were sent and `dropped`, the
    `policy` that chose them, and the whole prompt's `estimated_tokens`.
    """

    body: str
    history: dict[str, Any]


def prompt(
    *, model: str, context: str, history: Sequence[Turn], content: str, promised: bool = False
) -> Prompt:
    """The JSON text of a streamed OpenAI chat request, with as much history as fits.

    Args:
        history: finished turns, oldest first; at most the latest `HISTORY_TURNS`.
        promised: the message was accepted before, so that turns are dropped and nothing is refused.

    Raises:
        DoesNotFit: it is too long, and the policy is to refuse that.
    """
    name, fixed = configuration().conversations.truncation, message_tokens(content)
    if context:
        fixed += message_tokens(context)
    room = max(0, prompt_tokens(model) - fixed)
    turns = list(history)[-HISTORY_TURNS:]
    try:
        kept = POLICIES[name](turns, room)
    except DoesNotFit:
        if not promised:
            raise
        name, kept = "drop_oldest", drop_oldest(turns, room)
    account = {
        "turns": len(kept),
        "dropped": len(history) - len(kept),
        "policy": name,
        "estimated_tokens": fixed + sum(turn.tokens for turn in kept),
    }
    return Prompt(_body(model, context, kept, content), account)


def prompt_tokens(model: str) -> int:
    """How long a model's prompt may be: its context less the room for the answer."""
    config = configuration().conversations
    whole = config.model_context_tokens.get(model, config.context_tokens)
    return max(whole - config.answer_tokens, whole // 2)


def _body(model: str, context: str, turns: Sequence[Turn], content: str) -> str:
    messages = [{"role": "system", "content": context}] if context else []
    for turn in turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.reply})
    messages.append({"role": "user", "content": content})
    streamed = {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps({"model": model, "messages": messages, **streamed}).decode()
