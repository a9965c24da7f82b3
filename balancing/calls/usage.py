"""Which of an endpoint's token counts can be true?

Counts decide what tenants pay, their place in the queue and what is learned of answers' lengths. So
an endpoint that miscounts must not move them without bound: a count that the request and its text
rule out is unknown, and is estimated later. The `usage` in the answer's body stays as it was sent.
"""

from __future__ import annotations

from typing import Any

import orjson

from balancing.calls.answer import Answer
from balancing.kinds.call import Call

# A character of a request is at most so many tokens. Templates, hidden system prompts and retrieved
# text may add some that the request does not show.
TOKENS_PER_CHARACTER = 4
HIDDEN_PROMPT_TOKENS = 65_536
# What a request may name without holding it: images and files by URL, searches, cached content.
REFERRED_TOKENS = 2_000_000
_REFERENCES = ('_url"', 'file_id"', "web_search", "cached_content", "mcp_servers", "container")
# Reasoning that the answer does not show, where the request sets no limit.
HIDDEN_REASONING_TOKENS = 262_144
# No request gets more, whatever limits it names: those are its client's words.
MOST_TOKENS, MOST_CHOICES = 1_000_000, 128


def take_usage(answer: Answer, usage: Any, call: Call) -> None:
    """Take the counts of OpenAI's `usage` object as far as they can be true.

    Zeros beside a text mean that the endpoint does not count.
    """
    if not isinstance(usage, dict):
        return
    prompt = _count(usage.get("prompt_tokens", usage.get("input_tokens")))
    completion = _count(usage.get("completion_tokens", usage.get("output_tokens")))
    if prompt is not None and prompt > _most_prompt(prompt, call):
        prompt, answer.estimated = None, True
    if completion is not None and completion > _most_completion(answer, completion, call):
        completion, answer.estimated = None, True
    answer.prompt_tokens = prompt or None
    said_something = bool(answer.text) or not prompt
    answer.completion_tokens = completion or (None if said_something else completion)
    details = usage.get("prompt_tokens_details")
    if isinstance(details, dict) and prompt:
        answer.cached_tokens = min(_count(details.get("cached_tokens")) or 0, prompt)


def _count(value: Any) -> int | None:
    """A count; some servers send floats or strings of digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:20])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _most_prompt(told: int, call: Call) -> int:
    most = HIDDEN_PROMPT_TOKENS + TOKENS_PER_CHARACTER * len(call.body)
    if told > most and any(word in call.body for word in _REFERENCES):
        most += REFERRED_TOKENS
    return most


def _most_completion(answer: Answer, told: int, call: Call) -> int:
    shown = len(answer.body)
    if told <= shown:
        return shown
    asked = orjson.loads(call.body)
    limit = _count(asked.get("max_completion_tokens") or asked.get("max_tokens"))
    choices = max(_count(asked.get("n")) or 1, _count(asked.get("best_of")) or 1)
    each = min(limit or HIDDEN_REASONING_TOKENS, MOST_TOKENS)
    return max(shown, min(choices, MOST_CHOICES) * each)
