"""How does a profile choose an endpoint? By filters, then weighted scorers, then a picker.

All parts are pure, except that a picker may count its turns.
"""

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
    """The chosen endpoint, and the scores of all candidates (endpoint name -> score)."""

    endpoint: EndpointSnapshot
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class Profile:
    """How endpoints are chosen; settings name a profile by dotted path.

    Args:
        required: an endpoint that fails one of these is never chosen. Every profile also requires
            that the endpoint serves the model by the API; these two are not listed.
        preferred: while no endpoint passes all of these, the last one is dropped: a failing
            endpoint is better than none.
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
        """The endpoint for a job; None if no endpoint may serve it.

        Args:
            endpoints: all endpoints, the full ones too, because some filters compare them.
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
        """Endpoint id -> the most slots that may be in use there now, over all workers.

        Slots are reserved up to these limits, so that no job is claimed for a slot that a required
        filter would refuse afterwards. An ejected endpoint gets 0, an endpoint on trial 1. The
        limit is found by asking the filters: one that passes with n calls passes with fewer. The
        limits hold for about a second.
        """
        found = dict.fromkeys((e.id for e in endpoints), 0)
        for model in sorted({model for e in endpoints for model in e.model_names}):
            serving = [e for e in endpoints if model in e.model_names]
            situation = Situation(Wanted(model), now, serving)
            for endpoint in serving:
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
    # A loop, because `all` over a generator takes twice as long, and this runs for every claim.
    for each in filters:  # noqa: SIM110
        if not each(endpoint, situation):
            return False
    return True
