"""What every filter and scorer is told: the job, the moment, and all who could serve the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from balancing.policies.snapshot import EndpointSnapshot, Wanted

UNKNOWN_TOKEN_SECONDS = 0.02
"""Time per output token of a pool in which nothing has been measured."""


@dataclass(frozen=True)
class Situation:
    """One decision; what compares endpoints with each other is worked out once, when asked for.

    Attributes:
        serving: every endpoint that serves the model, the full ones too.
        now: Unix time.
    """

    wanted: Wanted
    now: float
    serving: Sequence[EndpointSnapshot]

    @cached_property
    def typical_token_seconds(self) -> float:
        """What is assumed of an endpoint that has not been measured."""
        measured = [e.token_seconds for e in self.serving if e.token_seconds > 0.0]
        return median(measured) if measured else UNKNOWN_TOKEN_SECONDS

    @cached_property
    def best_token_seconds(self) -> float:
        """The fastest, as measured, among those that take work now; 0 when none was measured."""
        return min(
            (e.token_seconds for e in self.serving if e.token_seconds > 0.0 and _takes_work(e)),
            default=0.0,
        )

    @cached_property
    def load_per_weight(self) -> float:
        """Calls per weight over the whole pool, the one that is to be placed included."""
        weights = sum(e.weight for e in self.serving)
        calls = sum(e.in_use for e in self.serving) + 1
        return calls / weights if weights > 0.0 else float(calls)

    @cached_property
    def largest_weight(self) -> float:
        return max((e.weight for e in self.serving), default=1.0)


def _takes_work(endpoint: EndpointSnapshot) -> bool:
    """Whether waiting for it makes sense: full it may be, but not away."""
    return (
        endpoint.is_healthy
        and endpoint.ejected_until == 0.0
        and not endpoint.on_trial
        and endpoint.requests_left != 0
        and endpoint.tokens_left != 0
    )
