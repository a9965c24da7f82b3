"""When is a second call made because the first token of the first call is overdue?

The call that speaks first is kept. Only requests for which somebody waits are hedged, each only
once, and only a small share of them: when everything is slow, every request is overdue, and hedging
all of them would double the load. Source: Dean and Barroso, The Tail at Scale (CACM 2013), hedged
requests; the budget is that of gRPC's retry throttling.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """How many hedges may still be made. It starts empty; `Hedging.earn` and `spend` change it."""

    hedges: float = 0.0


@dataclass(frozen=True, slots=True)
class Hedging:
    """The rule.

    Attributes:
        factor, extra_seconds: a first token is overdue after factor x expected + extra.
        most: hedges per request; 0 turns hedging off.
        saved: the most hedges that can be saved up in calm times.
        levels: names of the priority levels whose requests are hedged.
    """

    factor: float = 3.0
    extra_seconds: float = 2.0
    most: float = 0.03
    saved: float = 10.0
    levels: tuple[str, ...] = ("realtime", "high")

    def applies_to(self, level: str) -> bool:
        return self.most > 0.0 and level in self.levels

    def after_seconds(self, first_token_seconds: float) -> float:
        """Seconds from the call to its hedge, by the expected time to first token."""
        return self.factor * max(0.0, first_token_seconds) + self.extra_seconds

    def earn(self, budget: Budget, requests: int = 1) -> Budget:
        """The budget after requests of any level were sent."""
        return Budget(min(self.saved, budget.hedges + self.most * requests))

    def spend(self, budget: Budget) -> Budget | None:
        """The budget after a hedge; None if none may be made."""
        return Budget(budget.hedges - 1.0) if budget.hedges >= 1.0 else None
