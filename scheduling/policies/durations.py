"""How long does a job run: the mean, what its cost says of it, and what chance makes of it?

A model's latest answers tell.

    mean      of the known times; those from before a change of speed are left out
    slope     how much longer a job runs for each unit of estimated cost: least squares, never
              below 0, never more than in proportion. Where costs say nothing, all jobs are alike
    factors   each known time by what was expected of it; times of other jobs are drawn from them

Two signs tell of a change. Among those that ended: the newest rank apart from the rest, by the
rank-sum test (Mann and Whitney 1947). Among those that run, before any has ended: they have run for
longer than chance allows. A job found running at some moment has run for longer than `a` with the
chance that the law of renewal gives, the integral of P(X > x) beyond `a` over the mean.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from math import log, sqrt

# The newest so many are compared with the rest; so many standard deviations are no chance.
NEWEST, APART = (5, 10, 20, 40, 80), 3.5
# No job is expected to be shorter than this part of the mean.
LEAST_PART = 0.01
# Fewer known times say little of how much times differ: those of answers usually do by so much (a
# log-normal law with sigma .8, its mean 1).
FEW, USUAL = 4, (0.28, 0.52, 0.79, 1.2, 2.2)
# How many times slower everything may have become, and the least chance of an age.
SLOWER, LEAST_CHANCE = (1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0), 1e-6


@dataclass(frozen=True, slots=True)
class Durations:
    """Of one model.

    Attributes:
        seconds: the mean of a job whose cost is `cost`.
        slope: seconds for each unit of cost above that.
        factors: known times by expected ones, rising, 1 in the mean.
        above: for each place among the factors, the sum of those from there on.
    """

    seconds: float
    cost: float
    slope: float = 0.0
    factors: tuple[float, ...] = (1.0,)
    above: tuple[float, ...] = (1.0, 0.0)

    @classmethod
    def of(cls, seconds: Sequence[float], costs: Sequence[float]) -> Durations | None:
        """None without any.

        Args:
            seconds, costs: of the latest answers, the newest first.
        """
        if not seconds:
            return None
        whole = cls._of(seconds, costs)
        ratios = [each / whole.expected(cost) for each, cost in zip(seconds, costs, strict=True)]
        newest = since_change(ratios)
        return whole if newest == len(seconds) else cls._of(seconds[:newest], costs[:newest])

    @classmethod
    def _of(cls, seconds: Sequence[float], costs: Sequence[float]) -> Durations:
        mean, cost = _mean(seconds), _mean(costs)
        plain = cls(max(mean, 1e-6), cost, _slope(seconds, costs))
        ratios = [each / plain.expected(own) for each, own in zip(seconds, costs, strict=True)]
        scale = _mean(ratios) or 1.0
        factors = sorted(max(0.0, ratio / scale) for ratio in ratios)
        if len(factors) < FEW:
            factors = sorted([*factors, *USUAL])
        above = [*accumulate(reversed(factors), initial=0.0)]
        return replace(plain, factors=tuple(factors), above=tuple(reversed(above)))

    def expected(self, cost: float) -> float:
        """Seconds that a job of this cost runs in the mean."""
        return max(LEAST_PART * self.seconds, self.seconds + self.slope * (cost - self.cost))

    def drawn(self, rng: random.Random, cost: float, *, age: float = 0.0) -> float:
        """Seconds that a job of this cost runs, by chance; `age` seconds are known to have passed.

        Where no known job ran that long, it goes on for as long again at the most.
        """
        expected = self.expected(cost)
        place = bisect_right(self.factors, age / expected) if age > 0 else 0
        left = len(self.factors) - place
        if not left:
            return age * (1 + rng.random())
        return expected * self.factors[place + int(rng.random() * left)]

    def chance_of(self, cost: float, age: float) -> float:
        """How likely a job of this cost that is found running has run for so long, or longer."""
        factor = age / self.expected(cost)
        place = bisect_right(self.factors, factor)
        beyond = self.above[place] - (len(self.factors) - place) * factor
        return max(LEAST_CHANCE, beyond / len(self.factors))

    def slowed(self, times: float) -> Durations:
        """The same, with everything so many times as long."""
        return replace(self, seconds=self.seconds * times, slope=self.slope * times)


def since_change(ratios: Sequence[float]) -> int:
    """How many of the newest tell of the present: all of them, unless the speed has changed.

    Args:
        ratios: what each job took by what was expected, the newest first.
    """
    ranks = [0.0] * len(ratios)
    for rank, place in enumerate(sorted(range(len(ratios)), key=ratios.__getitem__)):
        ranks[place] = rank
    sums = [*accumulate(ranks, initial=0.0)]
    most, newest = APART, len(ratios)
    for count in NEWEST:
        if count < len(ratios) and (apart := _apart(sums[count], count, len(ratios))) > most:
            most, newest = apart, count
    return newest


def _apart(ranks: float, count: int, of: int) -> float:
    """By how many standard deviations a sum of so many ranks, from 0, is off its mean."""
    mean = count * (of - 1) / 2
    return abs(ranks - mean) / sqrt(count * (of - count) * (of + 1) / 12)


def slowness(running: Sequence[tuple[Durations, float, float]]) -> float:
    """How many times longer jobs run than the ended ones tell: the least that explains their ages.

    Args:
        running: how long such jobs take, the cost and the age of each.
    """
    allowed = len(running) + 3 * sqrt(len(running)) + 2

    def surprise(times: float) -> float:
        return sum(-log(each.chance_of(cost, age / times)) for each, cost, age in running)

    return next((times for times in SLOWER if surprise(times) <= allowed), SLOWER[-1])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _slope(seconds: Sequence[float], costs: Sequence[float]) -> float:
    mean, cost = _mean(seconds), _mean(costs)
    spread = sum((own - cost) ** 2 for own in costs)
    if spread <= 1e-9 * max(1.0, cost * cost) or cost <= 0:
        return 0.0
    together = sum((own - cost) * (each - mean) for own, each in zip(costs, seconds, strict=True))
    return min(max(0.0, together / spread), mean / cost)
