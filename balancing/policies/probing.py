"""After how many failed probes is an endpoint unhealthy, and after how many answers well again?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What is known from an endpoint's probes; `bad` and `good` count probes in a row."""

    is_healthy: bool = True
    bad: int = 0
    good: int = 0


@dataclass(frozen=True, slots=True)
class Probing:
    """The rule.

    Attributes:
        unhealthy_after: failed probes in a row.
        healthy_after: answered probes in a row.
    """

    unhealthy_after: int = 3
    healthy_after: int = 2

    def after(self, health: Health, *, answered: bool) -> Health:
        """The health after one more probe."""
        if answered:
            good = health.good + 1
            return Health(health.is_healthy or good >= self.healthy_after, 0, good)
        bad = health.bad + 1
        return Health(health.is_healthy and bad < self.unhealthy_after, bad, 0)
