"""A profile: filters, then weighted scorers, then a picker. Pure, but for a picker's own turns."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from balancing.policies.pickers import Scored
from balancing.policies.snapshot import EndpointSnapshot, Wanted

Filter = Callable[[EndpointSnapshot, Wanted, float], bool]
Scorer = Callable[[EndpointSnapshot, Wanted, float], float]


class Picker(Protocol):
    def pick(self, scored: Scored, rng: random.Random) -> EndpointSnapshot: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The endpoint chosen, and the scores it was chosen by (endpoint name -> score)."""

    endpoint: EndpointSnapshot
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """How endpoints are chosen; settings name one by dotted path.

    Args:
        required: an endpoint that fails one of these is never chosen.
        preferred: dropped, last first, while nothing passes: better a failing endpoint than none.
        scorers: (scorer, weight) pairs.
    """

    name: str
    required: tuple[Filter, ...]
    preferred: tuple[Filter, ...]
    scorers: tuple[tuple[Scorer, float], ...]
    picker: Picker

    def choose(
        self,
        endpoints: Iterable[EndpointSnapshot],
        wanted: Wanted,
        *,
        now: float,
        rng: random.Random,
    ) -> Choice | None:
        """The endpoint for a job, or None when no endpoint may serve it."""
        candidates = [e for e in endpoints if all(f(e, wanted, now) for f in self.required)]
        for kept in range(len(self.preferred), -1, -1):
            filters = self.preferred[:kept]
            passing = [e for e in candidates if all(f(e, wanted, now) for f in filters)]
            if passing:
                return self._pick(passing, wanted, now, rng)
        return None

    def _pick(
        self, passing: list[EndpointSnapshot], wanted: Wanted, now: float, rng: random.Random
    ) -> Choice:
        scored = [
            (e, sum(weight * scorer(e, wanted, now) for scorer, weight in self.scorers))
            for e in passing
        ]
        chosen = self.picker.pick(scored, rng)
        return Choice(chosen, {e.name: round(score, 4) for e, score in scored})
