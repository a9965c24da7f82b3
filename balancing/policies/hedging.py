"""When is a second call worth making, because the first one says nothing?

A request whose first token is overdue is asked again at another endpoint; whichever speaks first
is kept. Only where somebody waits, only once, and only a few: under a general slowness every
request is overdue, and hedging them all would double the load. Source: Dean and Barroso, The Tail
at Scale (CACM 2013), hedged requests; the budget is that of gRPC's retry throttling.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Hedges that may still be made; `Hedging.earn` and `spend` move it. Starts empty."""

    hedges: float = 0.0


@dataclass(frozen=True, slots=True)
class Hedging:
    """The rule.

    Attributes:
        factor, extra_seconds: a first token is overdue after factor x expected + extra.
        most: hedges by requests; 0 turns hedging off.
        saved: hedges that a calm time can lay by.
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
        """Seconds from the call to its hedge; `first_token_seconds` is what was expected of it."""
        return self.factor * max(0.0, first_token_seconds) + self.extra_seconds

    def earn(self, budget: Budget, requests: int = 1) -> Budget:
        """After requests of any level were sent."""
        return Budget(min(self.saved, budget.hedges + self.most * requests))

    def spend(self, budget: Budget) -> Budget | None:
        """The budget after a hedge; None where there is none left, and so no hedge."""
        return Budget(budget.hedges - 1.0) if budget.hedges >= 1.0 else None
