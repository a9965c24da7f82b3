"""What says something in a message or a delta, and which finish reasons say that nothing came?

A role, an empty text, an empty list or an unknown label says nothing: until something is said,
another endpoint can take over unseen, and an answer that says nothing is none.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

# What some servers send as the finish reason of a choice that goes on.
NOT_YET = ("null", "none", "None", "not_finished")
# The answer failed at the endpoint. OpenRouter and Mistral: error. vLLM and SGLang: abort.
# DeepSeek: insufficient_system_resource. Z.ai: network_error.
FAILED = ("error", "abort", "aborted", "insufficient_system_resource", "network_error")
# With these a client reads the message's calls.
WITH_CALLS = ("tool_calls", "function_call")
_SAID = frozenset(
    {"content", "text", "tool_calls", "function_call", "refusal", "audio", "images", "annotations"}
)
# Parts of names of fields with a model's thoughts, as servers spell them.
_THOUGHTS = ("reason", "think", "thought")
# What says nothing in a part of a message, whatever its text.
_LABELS = frozenset(
    {"type", "index", "format", "signature", "role", "status", "detail", "id", "expires_at"}
)


def says(name: str, value: Any) -> bool:
    """Whether a field of a message or a delta holds something that its reader would miss."""
    return bool(value) and _is_said(name) and _holds(value)


@lru_cache(maxsize=256)
def _is_said(name: str) -> bool:
    return name in _SAID or any(part in name for part in _THOUGHTS)


def _holds(value: Any) -> bool:
    """Whether there is a value at any depth that is more than a label."""
    if isinstance(value, dict):
        return any(name not in _LABELS and _holds(each) for name, each in value.items())
    if isinstance(value, list):
        return any(map(_holds, value))
    return value not in (None, "", False)
