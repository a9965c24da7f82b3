"""Which fields may go from a request that an endpoint refuses? docs/providers.md lists them.

Without them the answer means the same. Messages, tools, formats, limits, stops, temperature and
whatever else is not listed here are never removed: their refusal is the client's to read. Of a
message only notes may go, which gateways (this one, too) and SDKs add to what a model has said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
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
# Notes in messages and in their tool calls; the second ones only if they are null or empty.
NOTES = frozenset({
    "extra_content", "thinking_blocks", "provider_specific_fields", "annotations",
    "reasoning", "reasoning_content", "reasoning_details",
})  # fmt: skip
EMPTY_NOTES = frozenset({"refusal", "audio", "function_call", "tool_calls", "name"})
MESSAGES = "messages"
IN_MESSAGES = f"{MESSAGES}."
IN_ANY_MESSAGE = frozenset(IN_MESSAGES + note for note in NOTES | EMPTY_NOTES)
FITTED = MEANINGLESS | IDLE.keys() | RENAMED.keys()

# A request of such fields alone is like those of other clients. What is refused beside another
# field, such as Azure's `data_sources`, may be taken without it.
ORDINARY = FITTED | {
    "model", "messages", "prompt", "suffix", "input", "dimensions", "encoding_format", "stream",
    "stop", "temperature", "top_p", "top_k", "min_p", "tools", "tool_choice", "response_format",
    "reasoning_effort", "verbosity", "modalities",
}  # fmt: skip


def may_go(body: Mapping[str, Any], field: str) -> bool:
    """Whether this request means the same without the field, or with its other name.

    Args:
        field: of the request, or such as `messages.extra_content`.
    """
    if field in IN_ANY_MESSAGE:
        note = field.removeprefix(IN_MESSAGES)
        return any(_has(part, note) for part in _parts(body.get("messages")))
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
        if field in IN_ANY_MESSAGE:
            note = field.removeprefix(IN_MESSAGES)
            left["messages"] = [_without_note(each, note) for each in left["messages"]]
            continue
        value = left.pop(field)
        if other is not None and value is not None:
            left[other] = _lower(value, left.get(other))
    return left


def _parts(messages: Any) -> Iterator[Mapping[str, Any]]:
    """The messages and their tool calls, as far as they are objects."""
    for each in messages if isinstance(messages, list) else ():
        if isinstance(each, dict):
            yield each
            calls = each.get("tool_calls")
            yield from (c for c in calls if isinstance(c, dict)) if isinstance(calls, list) else ()


def _has(part: Mapping[str, Any], note: str) -> bool:
    return note in part and (note in NOTES or not part[note])


def _without_note(part: Any, note: str) -> Any:
    if not isinstance(part, dict):
        return part
    left = {name: value for name, value in part.items() if name != note or not _has(part, note)}
    if isinstance(left.get("tool_calls"), list):
        left["tool_calls"] = [_without_note(call, note) for call in left["tool_calls"]]
    return left


def _lower(value: Any, other: Any) -> Any:
    """The lower one of two limits; one that is no number, or below 1, is no limit."""
    limits = [n for n in (value, other) if isinstance(n, int | float) and n >= 1]
    return min(limits) if limits else value
