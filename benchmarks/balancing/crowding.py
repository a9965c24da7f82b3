"""One endpoint under a concurrency limit, in virtual time: what does it cost or save?

How many tokens a second a server finishes depends on how many streams it serves: its curve. The
worker that calls it can be held up at random, as on a busy machine: it then neither sees that a
call has ended nor begins another.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, sqrt
from typing import Protocol

from balancing.policies.goodput import Look
from balancing.policies.limits import Goodput
from balancing.policies.trials import Learned

Curve = Callable[[int], float]
"""Tokens a second of each stream, by the number of streams."""
LOOK_SECONDS = 1.0
STALL_SECONDS = (0.05, 0.4)
SLOTS, KNEE = 200, 50


def flat(streams: int) -> float:
    """No stream slows another."""
    return 100.0


def batching(streams: int) -> float:
    """At 200 streams each is three times slower than alone; the sum rises to the end."""
    return 100.0 / (1 + streams / 100)


def kneed(streams: int) -> float:
    """Flat up to 50 streams; beyond that the sum falls, to a half at 200."""
    return 100.0 * min(1.0, KNEE / streams * sqrt(KNEE / streams))


def steep(streams: int) -> float:
    """The same, to a quarter at 200."""
    return 100.0 * min(1.0, KNEE / streams * (KNEE / streams))


class Rule(Protocol):
    """What decides on the limit."""

    limit: int

    def ended(self, tokens: int, *, began: float, now: float) -> None:
        """A call has ended."""

    def look(self, now: float, in_use: int) -> None:
        """Once a second."""


@dataclass(slots=True)
class Fixed:
    limit: int

    def ended(self, tokens: int, *, began: float, now: float) -> None:
        pass

    def look(self, now: float, in_use: int) -> None:
        pass


class Tried:
    """The product's rule, asked as the product asks it."""

    def __init__(self, most: int) -> None:
        self.most = self.limit = most
        self.learned = Learned.begun(most, now=0.0)
        self._rule = Goodput()
        self._ended: list[tuple[int, float]] = []
        self._others = 0

    def ended(self, tokens: int, *, began: float, now: float) -> None:
        if began >= self.learned.since:
            self._ended.append((tokens, now - began))
        else:
            self._others += 1

    def look(self, now: float, in_use: int) -> None:
        calls = len(self._ended)
        tokens, seconds = (
            (sum(values) for values in zip(*self._ended, strict=True)) if calls else (0, 0.0)
        )
        look = Look(now, in_use, calls + self._others, int(tokens), seconds, calls)
        self.learned = self._rule.step(self.learned, look, most=self.most)
        self.limit = self.learned.limit
        self._ended.clear()
        self._others = 0


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of the endpoint.

    Attributes:
        per_second: requests a second, by the time.
        tokens: the shortest and the longest answer.
        prompt: prompts take up to as long as so many tokens.
    """

    per_second: Callable[[float], float]
    tokens: tuple[int, int] = (1, 60)
    prompt: int = 0


@dataclass(frozen=True, slots=True)
class Running:
    began: float
    tokens: int


@dataclass(slots=True)
class World:
    """One run; `run` once.

    Attributes:
        curve: the server's, by the time.
        stalls: share of the time in which the worker is held up.
        most_waiting: requests in the queue above which new ones are refused.
        tokens: what clients got, by second.
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
    tokens: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    _queue: deque[float] = field(default_factory=deque)
    _marks: list[tuple[float, int, Running]] = field(default_factory=list)
    _ended: list[Running] = field(default_factory=list)
    _clock: float = 0.0
    _begun: int = 0
    _in_use: int = 0

    def run(self) -> World:
        self.tokens = [0] * (int(self.seconds) + 1)
        arrivals, stalls = random.Random(self.seed), random.Random(self.seed)
        arrival_at, look_at = 0.0, LOOK_SECONDS
        held_from, held_until = self._stall(stalls, 0.0)
        while self.now < self.seconds:
            end_at = self._advance(min(arrival_at, look_at, held_until))
            if self.now == end_at:
                self._ended.append(heapq.heappop(self._marks)[2])
            if self.now == arrival_at:
                arrival_at += self._arrive(arrivals)
            if self.now < held_from or self.now >= held_until:
                self._work(arrivals)
            if self.now == held_until:
                held_from, held_until = self._stall(stalls, self.now)
            if self.now == look_at:
                look_at += LOOK_SECONDS
                self.rule.look(self.now, self._in_use)
                self.limits.append(self.rule.limit)
        return self

    def minutes(self) -> list[int]:
        """Tokens of each whole minute."""
        return [sum(self.tokens[at : at + 60]) for at in range(0, int(self.seconds) - 59, 60)]

    def _advance(self, until: float) -> float:
        """Go on to the next event; returns when a call ends, if it is the next event."""
        pace = self.curve(self.now)(len(self._marks)) if self._marks else 0.0
        end_at = self.now + (self._marks[0][0] - self._clock) / pace if self._marks else inf
        at = min(until, end_at)
        self._clock = self._marks[0][0] if at == end_at else self._clock + (at - self.now) * pace
        self.now = at
        return end_at

    def _arrive(self, rng: random.Random) -> float:
        """A request, if there are any now; returns the seconds to the next one."""
        per_second = self.load.per_second(self.now)
        if not per_second:
            return 0.1
        if len(self._queue) < self.most_waiting:
            self._queue.append(self.now)
        else:
            self.refused += 1
        return rng.expovariate(per_second)

    def _work(self, rng: random.Random) -> None:
        """What the worker does when it is not held up."""
        for call in self._ended:
            self._in_use -= 1
            self.tokens[int(self.now)] += call.tokens
            self.rule.ended(call.tokens, began=call.began, now=self.now)
        self._ended.clear()
        while self._queue and self._in_use < self.rule.limit:
            self.waits.append(self.now - self._queue.popleft())
            tokens, prompt = rng.randint(*self.load.tokens), rng.randint(0, self.load.prompt)
            self._begun += 1
            self._in_use += 1
            mark = self._clock + prompt + tokens
            heapq.heappush(self._marks, (mark, self._begun, Running(self.now, tokens)))

    def _stall(self, rng: random.Random, after: float) -> tuple[float, float]:
        """When the worker is held up next, and until when."""
        if not self.stalls:
            return inf, inf
        mean = sum(STALL_SECONDS) / 2
        at = after + rng.expovariate(self.stalls / (1 - self.stalls) / mean)
        return at, at + rng.uniform(*STALL_SECONDS)
