"""What a claimed job asks of an endpoint: size, conversation, the beginning of its prompt."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from balancing.policies import scorers
from balancing.policies.prefixes import BLOCK_TOKENS, PrefixMemory
from balancing.policies.profile import Profile
from balancing.policies.snapshot import Wanted
from scheduling.dispatch.claimed import Claimed
from scheduling.policies.fairness import output_tokens_of
from scheduling.specs import CHARS_PER_TOKEN, input_tokens

_BLOCK_CHARS = BLOCK_TOKENS * CHARS_PER_TOKEN
_MOST_BLOCKS = 32
_PROMPTS = ('"messages":', '"prompt":', '"input":')


def wanted_of(
    job: Claimed, profile: Profile, memory: PrefixMemory, *, model: str, tried: frozenset[int]
) -> Wanted:
    """Input from the body's length, output from the estimated cost: as it was estimated."""
    tokens = input_tokens(job.body)
    wanted = Wanted(
        model=model,
        tried=tried,
        api=job.api,
        input_tokens=tokens,
        output_tokens=int(output_tokens_of(job.cost, tokens)),
        affinity=job.affinity,
        prefix=blocks(job.body) if reads_prompt(profile) else (),
    )
    return replace(wanted, cached=memory.cached(wanted)) if wanted.prefix else wanted


def reads_prompt(profile: Profile) -> bool:
    """Whether some scorer looks at the prompt: otherwise nobody hashes it.

    A scorer of one's own says so by an attribute `reads_prompt`.
    """
    return any(
        scorer in (scorers.affinity, scorers.home) or getattr(scorer, "reads_prompt", False)
        for scorer, _ in profile.scorers
    )


def blocks(body: str) -> tuple[str, ...]:
    """Hashes of the prompt's whole leading blocks, each over all text up to its end.

    The body's text is taken as it is, from its messages on: the door writes it, so that equal
    messages are equal text, and nothing is parsed a second time.
    """
    begin = max(0, *(body.find(name) for name in _PROMPTS))
    text = body[begin : begin + _MOST_BLOCKS * _BLOCK_CHARS]
    digest = blake2b(digest_size=8)
    found = []
    for end in range(_BLOCK_CHARS, len(text) + 1, _BLOCK_CHARS):
        digest.update(text[end - _BLOCK_CHARS : end].encode())
        found.append(digest.hexdigest())
    return tuple(found)
