"""One endpoint under a concurrency limit, in virtual time: what does the limit cost, what does it save?

A server's tokens a second depend on how many streams it serves: its curve. The worker that calls it
is held up at random, as on a busy machine, and then neither sees ends nor begins calls. Slots are
filled from one queue.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

Curve = Callable[[int], float]
"""Tokens a second of each stream, by the number of streams."""
LOOK_SECONDS = 1.0


def flat(streams: int) -> float:
    return 100.0


def batching(streams: int) -> float:
    """Two thirds of the pace of each stream are lost at 200; the sum rises to the end."""
    return 100.0 / (1 + streams / 100)


def kneed(streams: int, *, knee: int = 50, fall: float = 1.0) -> float:
    """Steady up to the knee; beyond it the sum falls with a power of the streams."""
    return 100.0 if streams <= knee else 100.0 * (knee / streams) ** (1 + fall)


class Rule:
    """What the simulation asks for a limit; the base class is a fixed one."""

    def __init__(self, most: int) -> None:
        self.limit = most

    def ended(self, tokens: int, *, began: float, at: float, streamed: bool) -> None:
        """A call has ended."""

    def look(self, now: float, in_use: int) -> None:
        """Once a second."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the endpoint.

    Attributes:
        per_second: requests a second by time; 0 pauses.
        tokens: the shortest and the longest answer.
        streamed: share of the requests that stream.
    """

    per_second: Callable[[float], float]
    tokens: tuple[int, int] = (1, 60)
    streamed: float = 1.0
    prefill: int = 0


@dataclass(slots=True)
class Running:
    began: float
    tokens: int
    mark: float
    streamed: bool
    is_done: bool = False


@dataclass(slots=True)
class World:
    """One run: `rates` has the tokens that clients got in each second.

    Attributes:
        stalls: share of the time in which the worker is held up, in pieces of up to 0.4 s.
        most_waiting: requests in the queue, above which new ones are refused.
    """

    rule: Rule
    curve: Callable[[float], Curve]
    load: Load
    seconds: float
    stalls: float = 0.0
    seed: int = 1
    most_waiting: int = 2000
    now: float = 0.0
    refused: int = 0
    rates: list[float] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    _clock: float = 0.0
    _marks: list[tuple[float, int, Running]] = field(default_factory=list)
    _serving: int = 0
    _held: int = 0

    def run(self) -> World:
        rng, stall = random.Random(self.seed), random.Random(self.seed)
        queue: deque[float] = deque()
        done: list[Running] = []
        free_at, next_stall = 0.0, self._next_stall(stall, 0.0)
        next_look, next_arrival, number = LOOK_SECONDS, 0.0, 0
        self.rates = [0.0] * (int(self.seconds) + 1)
        while self.now < self.seconds:
            pace = self.curve(self.now)(self._serving) if self._serving else 0.0
            end = self._end_at(pace)
            at = min(
                end, next_look, next_arrival, next_stall, free_at if free_at > self.now else 1e18
            )
            self._clock += (at - self.now) * pace
            self.now = at
            if at == end:
                _, _, call = heapq.heappop(self._marks)
                self._serving -= 1
                done.append(call)
            if at == next_arrival:
                per_second = self.load.per_second(at)
                if per_second:
                    if len(queue) < self.most_waiting:
                        queue.append(at)
                    else:
                        self.refused += 1
                next_arrival = at + (rng.expovariate(per_second) if per_second else 0.1)
            if at == next_stall:
                free_at = at + stall.uniform(0.05, 0.4)
                next_stall = self._next_stall(stall, free_at)
            is_held = free_at > self.now
            if not is_held:
                for call in done:
                    self._held -= 1
                    self.rates[int(at)] += call.tokens
                    self.rule.ended(call.tokens, began=call.began, at=at, streamed=call.streamed)
                done.clear()
            if at == next_look:
                self.rule.look(at, self._held)
                self.limits.append(self.rule.limit)
                next_look += LOOK_SECONDS
            while not is_held and queue and self._held < self.rule.limit:
                self.waits.append(at - queue.popleft())
                tokens = rng.randint(*self.load.tokens)
                prefill = rng.randint(0, self.load.prefill)
                call = Running(
                    at, tokens, self._clock + tokens + prefill, rng.random() < self.load.streamed
                )
                number += 1
                heapq.heappush(self._marks, (call.mark, number, call))
                self._serving += 1
                self._held += 1
        return self

    def _end_at(self, pace: float) -> float:
        if not self._marks or pace <= 0:
            return 1e18
        return self.now + max(0.0, self._marks[0][0] - self._clock) / pace

    def _next_stall(self, rng: random.Random, after: float) -> float:
        if self.stalls <= 0:
            return 1e18
        return after + rng.expovariate(self.stalls / (1 - self.stalls) / 0.225)

    def minutes(self) -> list[float]:
        """Tokens of each minute."""
        return [sum(self.rates[at : at + 60]) for at in range(0, int(self.seconds) - 59, 60)]
