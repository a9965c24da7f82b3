"""When do probes make an endpoint unhealthy, and when well again? By answers in a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of an endpoint's probes; `bad` and `good` are counts in a row."""

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
        """After one more probe."""
        if answered:
            good = health.good + 1
            return Health(health.is_healthy or good >= self.healthy_after, 0, good)
        bad = health.bad + 1
        return Health(health.is_healthy and bad < self.unhealthy_after, bad, 0)
