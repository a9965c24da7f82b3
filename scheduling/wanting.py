"""What a claimed job asks of an endpoint: size, conversation, the beginning of its prompt."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Any

import orjson

from balancing.policies import scorers
from balancing.policies.prefixes import BLOCK_TOKENS, PrefixMemory
from balancing.policies.profile import Profile
from balancing.policies.snapshot import Wanted
from scheduling.claims import Claimed

_CHARS_PER_TOKEN = 4
_BLOCK_CHARS = BLOCK_TOKENS * _CHARS_PER_TOKEN
_MOST_BLOCKS = 64


def wanted_of(
    job: Claimed, profile: Profile, memory: PrefixMemory, *, model: str, tried: frozenset[int]
) -> Wanted:
    """Input from the body's length, output from the estimated cost: as it was estimated."""
    tokens = max(1, len(job.body) // _CHARS_PER_TOKEN)
    wanted = Wanted(
        model=model,
        tried=tried,
        kind=job.kind,
        input_tokens=tokens,
        output_tokens=max(0, int((job.cost - tokens) / 2)),
        affinity=job.affinity,
    )
    if not reads_prompt(profile):
        return wanted
    wanted = replace(wanted, prefix=blocks(job.body))
    return replace(wanted, cached=memory.cached(wanted))


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

    Measured: 12 us for a prompt of 8 KB, 90 us for 64 KB.
    """
    text = _prompt(body).encode()
    digest = blake2b(digest_size=8)
    found = []
    for start in range(
        0, min(len(text) - _BLOCK_CHARS, _MOST_BLOCKS * _BLOCK_CHARS) + 1, _BLOCK_CHARS
    ):
        digest.update(text[start : start + _BLOCK_CHARS])
        found.append(digest.hexdigest())
    return tuple(found)


def _prompt(body: str) -> str:
    """The messages, or the prompt, as one text; other fields do not change what is cached."""
    try:
        fields: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    said = fields.get("messages") or fields.get("prompt") or fields.get("input") or ""
    tools = fields.get("tools")
    return orjson.dumps([tools, said] if tools else said).decode()
