"""A profile: filters, then weighted scorers, then a picker. Pure, but for a picker's own turns."""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from balancing.policies.filters import serves_kind, serves_model
from balancing.policies.pickers import Scored
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot, Wanted

Filter = Callable[[EndpointSnapshot, Situation], bool]
Scorer = Callable[[EndpointSnapshot, Situation], float]


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
        required: an endpoint that fails one of these is never chosen. That it serves the model
            and the kind of call is required of all and not listed.
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
        """The endpoint for a job, or None when no endpoint may serve it.

        Args:
            endpoints: all there are, the full ones too: some filters compare.
            now: Unix time.
        """
        everyone = Situation(wanted, now, ())
        able = [e for e in endpoints if serves_model(e, everyone) and serves_kind(e, everyone)]
        situation = Situation(wanted, now, able)
        candidates = [e for e in able if self._passes(e, situation)]
        for kept in range(len(self.preferred), -1, -1):
            filters = self.preferred[:kept]
            passing = [e for e in candidates if _passes(filters, e, situation)]
            if passing:
                return self._pick(passing, situation, rng)
        return None

    def room(self, endpoints: Sequence[EndpointSnapshot], *, now: float) -> dict[int, int]:
        """Endpoint id -> the most slots it may have in use now, all workers together.

        Room is reserved against these, so that no job is claimed for a place that the required
        filters would then refuse: 0 for one that is ejected, 1 for one on trial. They are asked
        for the number itself: what passes with n calls passes with fewer. Good for about a second.
        """
        found = dict.fromkeys((e.id for e in endpoints), 0)
        for model in sorted({model for e in endpoints for model in e.model_names}):
            pool = [e for e in endpoints if model in e.model_names]
            situation = Situation(Wanted(model), now, pool)
            for endpoint in pool:
                found[endpoint.id] = max(found[endpoint.id], self._slots(endpoint, situation))
        return found

    def _slots(self, endpoint: EndpointSnapshot, situation: Situation) -> int:
        return bisect_left(
            range(endpoint.max_concurrent),
            True,
            key=lambda calls: not self._passes(replace(endpoint, in_use=calls, free=1), situation),
        )

    def _passes(self, endpoint: EndpointSnapshot, situation: Situation) -> bool:
        return _passes(self.required, endpoint, situation)

    def _pick(
        self, passing: list[EndpointSnapshot], situation: Situation, rng: random.Random
    ) -> Choice:
        scored = [
            (e, sum(weight * scorer(e, situation) for scorer, weight in self.scorers))
            for e in passing
        ]
        chosen = self.picker.pick(scored, rng)
        return Choice(chosen, {e.name: round(score, 4) for e, score in scored})


def _passes(filters: tuple[Filter, ...], endpoint: EndpointSnapshot, situation: Situation) -> bool:
    # A loop: `all` over a generator takes twice as long, and this runs for every claim.
    for each in filters:  # noqa: SIM110
        if not each(endpoint, situation):
            return False
    return True
