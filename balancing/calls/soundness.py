"""Does a 200 hold an answer that a client could use?"""

from __future__ import annotations

from typing import Any

# What a message may hold beside its role. Empty ones say nothing.
_SAID = (
    "content",
    "tool_calls",
    "function_call",
    "refusal",
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "audio",
    "images",
)


def holds_answer(answer: dict[str, Any], api: str) -> bool:
    """Whether there is a choice with a text, a tool call or a finish reason; or there are vectors.

    Args:
        api: a key of `APIS`.
    """
    if api == "embedding":
        return are_vectors(answer.get("data"))
    choices = answer.get("choices")
    return isinstance(choices, list) and any(_is_choice(choice) for choice in choices)


def are_vectors(data: Any) -> bool:
    """Whether it is a list of embeddings: floats, or text in base64."""
    return isinstance(data, list) and bool(data) and all(_is_vector(each) for each in data)


def _is_vector(item: Any) -> bool:
    vector = item.get("embedding") if isinstance(item, dict) else None
    return isinstance(vector, list | str | dict) and bool(vector)


def _is_choice(choice: Any) -> bool:
    if not isinstance(choice, dict):
        return False
    if choice.get("finish_reason") or choice.get("text"):
        return True
    message = choice.get("message")
    return isinstance(message, dict) and any(message.get(name) for name in _SAID)
