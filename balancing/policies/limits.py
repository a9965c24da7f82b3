"""How many calls at once does an endpoint carry well? Learned from its time per output token.

Each stream slows down as a batch grows. Up to a point the batch as a whole becomes faster; beyond
it, streams only wait for each other. The limit grows while the time per token stays near the
endpoint's usual time, and otherwise shrinks with the ratio of the two:

    gradient = clamp(tolerance x usual / now, 0.5, 1)
    limit    = smooth(limit x gradient + headroom)

Source: Gradient2Limit of Netflix concurrency-limits (Apache-2.0), which measures round trips. This
one measures the time per output token, because a round trip is as long as its answer. Its average
of the usual time forgets by seconds, not by samples, because samples come only while calls run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Learned:
    """What has been learned of an endpoint; the first sample replaces the zeros.

    Attributes:
        limit: slots, not rounded; 0 if nothing has been learned.
        usual_token_seconds: slow moving average of the time per output token.
        at: Unix time of the last step.
    """

    limit: float = 0.0
    usual_token_seconds: float = 0.0
    at: float = 0.0

    @property
    def slots(self) -> int:
        """The limit in whole slots, for `EndpointSnapshot.limit`."""
        return math.floor(self.limit + 1e-9)


@dataclass(frozen=True, slots=True)
class Gradient2:
    """The rule.

    Attributes:
        smoothing: weight of the newest limit, 0 to 1.
        tolerance: the limit does not shrink up to so many times the usual time per token.
        headroom: slots that each step tries to add.
        usual_seconds: time constant of the usual time per token.
        least: the smallest limit.
    """

    smoothing: float = 0.2
    tolerance: float = 1.5
    headroom: float = 1.0
    usual_seconds: float = 600.0
    least: int = 1

    def step(
        self,
        learned: Learned,
        *,
        token_seconds: float,
        in_use: int,
        max_concurrent: int,
        now: float,
    ) -> Learned:
        """The limit after one more measurement, made about once a second.

        Args:
            token_seconds: time per output token of its streams since the last measurement; 0 if
                there were none, which changes nothing.
            in_use: slots in use. Below half of the limit, the limit is not what slows streams.
            max_concurrent: the most slots that the operator allows; the first limit.
        """
        if token_seconds <= 0.0 or not math.isfinite(token_seconds):
            return learned
        if learned.limit <= 0.0:
            return Learned(float(max_concurrent), token_seconds, now)
        usual = self._usual(learned, token_seconds, now)
        limit = min(learned.limit, float(max_concurrent))
        gradient = max(0.5, min(1.0, self.tolerance * usual / token_seconds))
        if gradient == 1.0 and in_use < limit / 2:
            return replace(learned, limit=limit, usual_token_seconds=usual, at=now)
        wanted = limit * gradient + self.headroom
        limit += self.smoothing * (wanted - limit)
        limit = min(float(max_concurrent), max(float(self.least), limit))
        return Learned(limit, usual, now)

    def _usual(self, learned: Learned, token_seconds: float, now: float) -> float:
        """A slow average; while it is far above the present time, each step lowers it by 5 %."""
        passed = max(0.0, now - learned.at)
        weight = 1.0 - math.exp(-passed / self.usual_seconds) if self.usual_seconds > 0 else 1.0
        usual = learned.usual_token_seconds + weight * (token_seconds - learned.usual_token_seconds)
        return usual * 0.95 if usual > 2.0 * token_seconds else usual
