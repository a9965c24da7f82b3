"""How much of its usual work does an endpoint get after it has returned?

A returned server is the emptiest of all, and would be flooded while its caches are cold or it has
only half recovered. Source: slow start of Envoy's load balancers, with a linear ramp.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlowStart:
    """The ramp of a returned endpoint.

    Attributes:
        seconds: how long the ramp lasts; 0 turns it off.
        least: the share at its beginning, above 0.
    """

    seconds: float = 30.0
    least: float = 0.1

    def share(self, returned_at: float, now: float) -> float:
        """The share of its usual slots, from `least` to 1; 1 if it was never away."""
        if returned_at <= 0.0 or self.seconds <= 0.0:
            return 1.0
        return min(1.0, max(self.least, (now - returned_at) / self.seconds))
