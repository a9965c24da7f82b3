"""Which fields may go from a request that an endpoint refuses? docs/providers.md lists them.

Without them the answer means the same. Messages, tools, formats, limits, stops, temperature and
whatever else is not listed here are never removed: their refusal is the client's to read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

STREAM_OPTIONS = "stream_options"
PENALTIES = ("frequency_penalty", "presence_penalty", "repetition_penalty")
# Names, caches, accounting, hints: nothing that the answer is about.
MEANINGLESS = frozenset({
    STREAM_OPTIONS, "user", "safety_identifier", "metadata", "store", "service_tier", "seed",
    "prompt_cache_key", "prompt_cache_retention", "parallel_tool_calls", "prediction", *PENALTIES,
})  # fmt: skip
# With such a value (or null) a field asks for what happens anyway.
IDLE: Mapping[str, Any] = {
    "n": 1,
    "best_of": 1,
    "logprobs": False,
    "top_logprobs": 0,
    "echo": False,
    "logit_bias": {},
}
# One meaning under two names: OpenAI's reasoning models know one, many servers the other.
RENAMED = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
FITTED = MEANINGLESS | IDLE.keys() | RENAMED.keys()

# A request of such fields alone is like those of other clients. What is refused beside another
# field, such as Azure's `data_sources`, may be taken without it.
ORDINARY = FITTED | {
    "model", "messages", "prompt", "suffix", "input", "dimensions", "encoding_format", "stream",
    "stop", "temperature", "top_p", "top_k", "min_p", "tools", "tool_choice", "response_format",
    "reasoning_effort", "verbosity", "modalities",
}  # fmt: skip


def may_go(body: Mapping[str, Any], field: str) -> bool:
    """Whether this request means the same without the field, or with its other name."""
    if field not in body:
        return False
    if field in IDLE:
        return body[field] is None or body[field] == IDLE[field]
    return field in FITTED


def without(body: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """A copy without these fields, as far as they may go; a limit moves to its other name."""
    left = dict(body)
    for field in fields:
        other = RENAMED.get(field)
        if not may_go(left, field) or other in fields:
            continue
        value = left.pop(field)
        if other is not None and value is not None:
            left[other] = _lower(value, left.get(other))
    return left


def _lower(value: Any, other: Any) -> Any:
    """The lower one of two limits; one that is no number, or below 1, is no limit."""
    limits = [n for n in (value, other) if isinstance(n, int | float) and n >= 1]
    return min(limits) if limits else value
