"""Which endpoint holds the beginning of this prompt in its cache? As far as one process knows.

LLM servers keep the keys and values of prompts they have read and skip that part of a prompt that
begins alike. What they hold is not told, but follows from what they were sent: the last to have
read a block has it, until newer ones push it out.
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
    """Who was sent which block, the least recently used forgotten first.

    Attributes:
        size: blocks remembered, over all endpoints; about 150 bytes each.
    """

    size: int = 100_000
    _served: OrderedDict[str, set[int]] = field(default_factory=OrderedDict)

    def cached(self, wanted: Wanted) -> Mapping[int, int]:
        """For `Wanted.cached`: endpoint id -> tokens of the prompt it should hold."""
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
        """The endpoint has been sent this prompt."""
        for block in wanted.prefix:
            served = self._served.setdefault(block, set())
            served.add(endpoint_id)
            self._served.move_to_end(block)
        while len(self._served) > self.size:
            self._served.popitem(last=False)
