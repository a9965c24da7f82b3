"""What an attempt used and cost: as its endpoint reported, or estimated where it did not.

An answer without usage is estimated at four characters a token. An attempt that failed after it
had begun to answer is charged for its prompt and the pieces that came: providers charge for them.
One that failed before, or whose worker died, is charged nothing; nor is the hedge that lost.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancing.calls.answer import Answer
from balancing.endpoints.registry import Target
from scheduling.specs import CHARS_PER_TOKEN


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens and money of one attempt; `micros` is None where the endpoint has no price."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    micros: int | None = None
    estimated: bool = False


NOTHING = Spent()


def of_answer(target: Target, model: str, body: str, answer: Answer) -> Spent:
    """Embeddings report no output, and have none."""
    prompt, completion = answer.prompt_tokens, answer.completion_tokens
    estimated = prompt is None or (completion is None and bool(answer.text))
    if prompt is None:
        prompt = _tokens(body)
    if completion is None:
        completion = _tokens(answer.text)
    return _priced(target, model, prompt, completion, answer.cached_tokens, estimated)


def of_failure(target: Target, model: str, body: str, pieces: int) -> Spent:
    """Of an attempt that broke off after so many pieces of its answer, about a token each."""
    if not pieces:
        return NOTHING
    return _priced(target, model, _tokens(body), pieces, 0, True)


def _priced(
    target: Target, model: str, prompt: int, completion: int, cached: int, estimated: bool
) -> Spent:
    price = target.price(model)
    if price is None:
        return Spent(prompt, completion, None, estimated)
    micros = price.micros(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)
    return Spent(prompt, completion, micros, estimated)


def _tokens(text: str) -> int:
    return -(-len(text) // CHARS_PER_TOKEN)
