"""Which of the scored endpoints is chosen? Each picker is one way of choosing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from balancing.policies.snapshot import EndpointSnapshot

Scored = Sequence[tuple[EndpointSnapshot, float]]


@dataclass(frozen=True, slots=True)
class Highest:
    """The best score. Ties are broken at random, so that equal endpoints share the work."""

    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot:
        best = max(score for _, score in scored)
        return rng.choice([endpoint for endpoint, score in scored if score >= best - 1e-12])


@dataclass(frozen=True, slots=True)
class BetterOfTwo:
    """The better of two drawn at random, so that workers do not all choose the same endpoint.

    Source: Mitzenmacher, The Power of Two Choices in Randomized Load Balancing (2001).
    """

    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot:
        drawn = rng.sample(list(scored), 2) if len(scored) > 2 else scored
        return Highest().pick(drawn, rng)


@dataclass(frozen=True, slots=True)
class ByWeight:
    """At random, in proportion to the weights."""

    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot:
        endpoints = [endpoint for endpoint, _ in scored]
        return rng.choices(endpoints, [max(e.weight, 1e-9) for e in endpoints])[0]


@dataclass(slots=True)
class SmoothWeightedTurns:
    """Weighted round robin, spread evenly. Each process counts turns of its own.

    Source: the smooth weighted round robin of nginx's upstream module.
    """

    weighted: bool = True
    _current: dict[int, float] = field(default_factory=dict)

    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot:
        del rng
        turns = {e.id: e.weight if self.weighted else 1.0 for e, _ in scored}
        for endpoint, turn in turns.items():
            self._current[endpoint] = self._current.get(endpoint, 0.0) + turn
        chosen = max((endpoint for endpoint, _ in scored), key=lambda e: self._current[e.id])
        self._current[chosen.id] -= sum(turns.values())
        return chosen
