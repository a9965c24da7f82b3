"""How much of its usual work does an endpoint get that has just come back?

A server that returns with cold caches, or has only half recovered, would be flooded: it is the
emptiest of all. Source: slow start of Envoy's load balancers, with a linear ramp.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlowStart:
    """The ramp of a returned endpoint.

    Attributes:
        seconds: until it has its whole share; 0 turns the ramp off.
        least: its share at the first moment, above 0.
    """

    seconds: float = 30.0
    least: float = 0.1

    def share(self, returned_at: float, now: float) -> float:
        """Its share of its usual slots, from `least` to 1; 1 for one that was never away."""
        if returned_at <= 0.0 or self.seconds <= 0.0:
            return 1.0
        return min(1.0, max(self.least, (now - returned_at) / self.seconds))
