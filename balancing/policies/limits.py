"""How many calls at once does an endpoint carry well? Learned from its time per output token.

Decoding slows as a batch grows; up to a point the whole gets faster, beyond it every stream only
waits for its turn. The limit grows while the time per token stays near what is usual for the
endpoint, and shrinks with their ratio when it does not:

    gradient = clamp(tolerance x usual / now, 0.5, 1)
    limit    = smooth(limit x gradient + headroom)

Source: Gradient2Limit of Netflix concurrency-limits (Apache-2.0), which watches round trips. Here
it is time per output token, because a round trip is as long as the answer; the usual time is
remembered in seconds, not in samples, because endpoints are looked at as often as they work.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Learned:
    """What has been learned of an endpoint; the first sample replaces the zeros.

    Attributes:
        limit: slots, not rounded; 0 when nothing was learned yet.
        usual_token_seconds: slow moving average of the time per output token.
        at: Unix time of the last step.
    """

    limit: float = 0.0
    usual_token_seconds: float = 0.0
    at: float = 0.0

    @property
    def slots(self) -> int:
        """The limit as whole slots, for `EndpointSnapshot.limit`."""
        return math.floor(self.limit + 1e-9)


@dataclass(frozen=True, slots=True)
class Gradient2:
    """The rule.

    Attributes:
        smoothing: weight of the newest limit, 0 to 1.
        tolerance: how many times the usual time per token is still no reason to shrink.
        headroom: slots by which it tries for more at every step.
        usual_seconds: time constant of the usual time per token.
        least: slots that it always has.
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
        """After one look at an endpoint; made about once a second while it generates.

        Args:
            token_seconds: time per output token of its streams since the last look; a look that
                saw none (0 or less) teaches nothing.
            in_use: slots in use. Below half of the limit it is not the limit that is felt.
            max_concurrent: the most that its operator allows; a limit begins there.
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
        """A slow average, but 5 % down at a look while it is far above what is seen now."""
        passed = max(0.0, now - learned.at)
        weight = 1.0 - math.exp(-passed / self.usual_seconds) if self.usual_seconds > 0 else 1.0
        usual = learned.usual_token_seconds + weight * (token_seconds - learned.usual_token_seconds)
        return usual * 0.95 if usual > 2.0 * token_seconds else usual
