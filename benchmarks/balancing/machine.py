"""A fake LLM server in virtual time: a decoding batch whose streams share one device.

All streams of a batch run at the same pace, so one clock a machine is enough: it counts the output
tokens that a stream present all along would have made, and a stream ends when the clock reaches a
mark that was known when it began. Reading the prompt counts as that many output tokens.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from math import inf

from benchmarks.traces import BLOCK_TOKENS, Arrival

TOKEN_SECONDS = 0.015
"""Of a lone stream on a machine of speed 1."""
BATCH = 16
"""Streams that together halve the pace of each."""
INPUT_TOKENS_PER_OUTPUT_TOKEN = 75
"""Prompts are read in parallel: 5,000 tokens a second at speed 1."""
FIRST, LAST = "first", "last"


@dataclass(eq=False, slots=True)
class Call:
    """A request at a machine; `first_mark` and `last_mark` are readings of the machine's clock."""

    arrival: Arrival
    machine: Machine
    began_at: float
    first_mark: float = 0.0
    last_mark: float = 0.0
    first_token_at: float = 0.0
    is_trial: bool = False
    is_hedge: bool = False


@dataclass(eq=False, slots=True)
class Machine:
    """One server. `speed` is 1 for the fastest; `slowdown` multiplies its times for a while.

    Attributes:
        failing: share of its calls that end in an error.
        cache_tokens: prompt tokens that its prefix cache holds.
    """

    id: int
    speed: float
    slots: int = 16
    slowdown: float = 1.0
    failing: float = 0.0
    cache_tokens: int = 1_000_000
    calls: dict[Call, None] = field(default_factory=dict)
    clock: float = 0.0
    version: int = 0
    _at: float = 0.0
    _marks: list[tuple[float, int, str, Call]] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)
    _cache: OrderedDict[str, int] = field(default_factory=OrderedDict)
    _cached_tokens: int = 0

    @property
    def pace(self) -> float:
        """Output tokens a second of each stream."""
        return self.speed / (self.slowdown * TOKEN_SECONDS * (1 + len(self.calls) / BATCH))

    def most_tokens_per_second(self) -> float:
        """Of all streams together, when every slot is taken and nothing is wrong."""
        return self.slots * self.speed / (TOKEN_SECONDS * (1 + self.slots / BATCH))

    def advance(self, now: float) -> None:
        if self.calls:
            self.clock += (now - self._at) * self.pace
        self._at = now

    def slow_down(self, factor: float, now: float) -> None:
        self.advance(now)
        self.slowdown = factor
        self.version += 1

    def begin(self, call: Call, now: float) -> int:
        """Take a call; the prompt tokens that the prefix cache saved."""
        self.advance(now)
        saved = self._remember(call.arrival)
        call.first_mark = self.clock + 1 + prefill(call.arrival.input_tokens - saved)
        call.last_mark = call.first_mark + max(1, call.arrival.output_tokens) - 1
        for mark, what in ((call.first_mark, FIRST), (call.last_mark, LAST)):
            heapq.heappush(self._marks, (mark, next(self._numbers), what, call))
        self.calls[call] = None
        self.version += 1
        return saved

    def end(self, call: Call, now: float) -> None:
        """The call is done, failed or cancelled."""
        self.advance(now)
        del self.calls[call]
        self.version += 1

    def next_at(self) -> float:
        """When the next first or last token is due, if nothing changes before."""
        while self._marks and self._marks[0][3] not in self.calls:
            heapq.heappop(self._marks)
        if not self._marks:
            return inf
        return self._at + max(0.0, self._marks[0][0] - self.clock) / self.pace

    def due(self, now: float) -> list[tuple[str, Call]]:
        """First and last tokens that are out by now; the caller ends the calls."""
        self.advance(now)
        found = []
        while self._marks and self._marks[0][0] <= self.clock + 1e-6:
            _, _, what, call = heapq.heappop(self._marks)
            if call in self.calls:
                found.append((what, call))
        return found

    def _remember(self, arrival: Arrival) -> int:
        """What of the prompt is in the cache; from now on all of it is, the oldest go."""
        if not arrival.session:
            return 0
        # All sessions of a trace begin alike, for a block: it is in every cache that is in use.
        shared = BLOCK_TOKENS if self._cache else 0
        held = self._cache.pop(arrival.session, 0)
        grown = max(held, arrival.input_tokens + arrival.output_tokens)
        self._cache[arrival.session] = grown
        self._cached_tokens += grown - held
        while self._cached_tokens > self.cache_tokens and len(self._cache) > 1:
            self._cached_tokens -= self._cache.popitem(last=False)[1]
        return min(max(held, shared), arrival.prefix_tokens)


def prefill(input_tokens: int) -> float:
    """The time of reading a prompt, in output tokens."""
    return input_tokens / INPUT_TOKENS_PER_OUTPUT_TOKEN


def work(arrival: Arrival) -> float:
    """A request's size in output tokens."""
    return prefill(arrival.input_tokens) + max(1, arrival.output_tokens)
