"""Which of the scored endpoints is it? One picker a way of choosing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from balancing.policies.snapshot import EndpointSnapshot

Scored = Sequence[tuple[EndpointSnapshot, float]]


@dataclass(frozen=True, slots=True)
class Highest:
    """The best score; ties at random, so that equal endpoints share the work."""

    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot:
        best = max(score for _, score in scored)
        return rng.choice([endpoint for endpoint, score in scored if score >= best - 1e-12])


@dataclass(slots=True)
class SmoothWeightedTurns:
    """Weighted round robin, spread evenly; its turns are this process's own.

    Source: the smooth weighted round robin of nginx's upstream module.
    """

    _current: dict[int, float] = field(default_factory=dict)

    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot:
        del rng
        total = sum(endpoint.weight for endpoint, _ in scored)
        for endpoint, _ in scored:
            self._current[endpoint.id] = self._current.get(endpoint.id, 0.0) + endpoint.weight
        chosen = max((endpoint for endpoint, _ in scored), key=lambda e: self._current[e.id])
        self._current[chosen.id] -= total
        return chosen
