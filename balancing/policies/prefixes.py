"""Which endpoint has the beginning of this prompt in its cache, as far as one process knows?

LLM servers cache the keys and values of prompts, and skip the part of a new prompt that begins like
an earlier one. They do not say what they hold, but it follows from what they were sent: a server
holds the blocks that it has read, until newer ones displace them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from balancing.policies.snapshot import Wanted

BLOCK_TOKENS = 512
"""Tokens of one hashed block of a prompt."""


@dataclass(slots=True)
class PrefixMemory:
    """Which endpoints were sent which blocks; the least recently used block is forgotten first.

    Attributes:
        size: the most blocks, over all endpoints; about 150 bytes each.
    """

    size: int = 100_000
    _served: OrderedDict[str, set[int]] = field(default_factory=OrderedDict)

    def cached(self, wanted: Wanted) -> Mapping[int, int]:
        """For `Wanted.cached`: endpoint id -> tokens of the prompt that it should hold."""
        holding: dict[int, int] = {}
        able: set[int] | None = None
        for number, block in enumerate(wanted.prefix, 1):
            served = self._served.get(block)
            able = set(served or ()) if able is None else able & (served or set())
            if not able:
                break
            tokens = min(number * BLOCK_TOKENS, wanted.input_tokens)
            holding.update(dict.fromkeys(able, tokens))
        return holding

    def remember(self, wanted: Wanted, endpoint_id: int) -> None:
        """Note that an endpoint is sent this prompt."""
        for block in wanted.prefix:
            served = self._served.setdefault(block, set())
            served.add(endpoint_id)
            self._served.move_to_end(block)
        while len(self._served) > self.size:
            self._served.popitem(last=False)
