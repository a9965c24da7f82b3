"""What did an attempt use and cost? As its endpoint reported, or else estimated.

The tokens of an answer without usage are estimated at four characters a token. An attempt that
failed after it had begun to answer is charged for its prompt and the pieces that came, because
providers charge for them. An attempt that failed before that, one whose worker died, and the hedge
that lost are charged nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancing.calls.answer import Answer
from balancing.endpoints.registry import Target
from scheduling.specs import CHARS_PER_TOKEN, input_chars


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and money of one attempt; `micros` is None where the endpoint has no price."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    micros: int | None = None
    estimated: bool = False


NOTHING = Spent()


def of_answer(target: Target, model: str, body: str, answer: Answer) -> Spent:
    """What an answered attempt used. An embedding has no output tokens and reports none."""
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    unknown = prompt is None or (completion is None and bool(answer.text))
    estimated = answer.estimated or unknown
    if prompt is None:
        prompt = _tokens(input_chars(body))
    if completion is None:
        completion = _tokens(len(answer.text))
    return _priced(target, model, prompt, completion, answer.cached_tokens, estimated)


def of_failure(target: Target, model: str, body: str, pieces: int) -> Spent:
    """What an attempt used that broke off after so many pieces, each of about a token."""
    if not pieces:
        return NOTHING
    return _priced(target, model, _tokens(input_chars(body)), pieces, 0, True)


def _priced(
    target: Target, model: str, prompt: int, completion: int, cached: int, estimated: bool
) -> Spent:
    price = target.price(model)
    if price is None:
        return Spent(prompt, completion, None, estimated)
    micros = price.micros(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)
    return Spent(prompt, completion, micros, estimated)


def _tokens(chars: int) -> int:
    return -(-chars // CHARS_PER_TOKEN)
