"""Does a 200 hold an answer that a client could use?"""

from __future__ import annotations

from typing import Any

from balancing.kinds.said import FAILED, NOT_YET, WITH_CALLS, says


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
    reason, message = choice.get("finish_reason"), choice.get("message")
    fields = message.items() if isinstance(message, dict) else ()
    if choice.get("text") or any(says(name, value) for name, value in fields):
        return True
    return bool(reason) and reason not in NOT_YET and reason not in WITH_CALLS


def failed_choice(answer: dict[str, Any]) -> dict[str, Any] | None:
    """The choice that reports a failure of the endpoint: by its finish reason, or by an error."""
    choices = answer.get("choices")
    return next(
        (
            choice
            for choice in (choices if isinstance(choices, list) else ())
            if isinstance(choice, dict)
            and (choice.get("finish_reason") in FAILED or choice.get("error"))
        ),
        None,
    )
