"""What do filters and scorers know: the job, the moment, all endpoints that serve the model?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from balancing.policies.snapshot import EndpointSnapshot, Wanted

UNKNOWN_TOKEN_SECONDS = 0.02
"""Time per output token, assumed while no endpoint has been measured."""


@dataclass(frozen=True)
class Situation:
    """One choice. Comparisons of endpoints are worked out when first needed, and then kept.

    Attributes:
        serving: every endpoint that serves the model, the full ones too.
        now: Unix time.
    """

    wanted: Wanted
    now: float
    serving: Sequence[EndpointSnapshot]

    @cached_property
    def typical_token_seconds(self) -> float:
        """The median time per output token, assumed for endpoints that have not been measured."""
        measured = [e.token_seconds for e in self.serving if e.token_seconds > 0.0]
        return median(measured) if measured else UNKNOWN_TOKEN_SECONDS

    @cached_property
    def best_token_seconds(self) -> float:
        """The time of the fastest endpoint that takes work now; 0 if none has been measured."""
        return min(
            (e.token_seconds for e in self.serving if e.token_seconds > 0.0 and _takes_work(e)),
            default=0.0,
        )

    @cached_property
    def load_per_weight(self) -> float:
        """Calls per weight over all endpoints that serve the model, this job included."""
        weights = sum(e.weight for e in self.serving)
        calls = sum(e.in_use for e in self.serving) + 1
        return calls / weights if weights > 0.0 else float(calls)

    @cached_property
    def largest_weight(self) -> float:
        return max((e.weight for e in self.serving), default=1.0)


def _takes_work(endpoint: EndpointSnapshot) -> bool:
    """Whether it makes sense to wait for a slot there."""
    return (
        endpoint.is_healthy
        and endpoint.ejected_until == 0.0
        and not endpoint.on_trial
        and endpoint.requests_left != 0
        and endpoint.tokens_left != 0
    )
