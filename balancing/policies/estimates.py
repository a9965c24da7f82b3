"""How long would this job take at an endpoint? From measured speed and the calls that run there.

The streams of a decoding batch share a device. Roughly, each of `b` streams runs at
`1 / (1 + b / batch)` of the speed of a single one. The moving average says how fast the endpoint
was with its recent calls. The count of calls, which all workers see at once, says how many run
now. Each covers what the other misses: a device that became slower, and a burst of calls that no
measurement contains yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot

USUAL_OUTPUT_TOKENS = 256
"""Assumed for a job without an estimate."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The model behind the estimates.

    Attributes:
        batch: this many streams together halve the speed of each.
        input_share: time for an input token by that for an output token; prefill is parallel.
        again_seconds: how long the last measurement of an idle endpoint counts. Without this, an
            endpoint that was slow once would get no calls, and nobody would see that it recovered.
    """

    batch: float = 16.0
    input_share: float = 0.02
    again_seconds: float = 30.0

    def known_token_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """Measured time per token; the best one for an endpoint that has been idle for long."""
        if endpoint.token_seconds <= 0.0:
            return situation.typical_token_seconds
        idle = 0.0 if endpoint.in_use else situation.now - endpoint.measured_at
        if idle < self.again_seconds:
            return endpoint.token_seconds
        best = endpoint.best_token_seconds or endpoint.token_seconds
        # After hours of slowness, its best time is slow as well.
        return (
            best if idle < 10 * self.again_seconds else min(best, situation.typical_token_seconds)
        )

    def token_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """Time per output token if this job joins those that run there."""
        streams = endpoint.in_use
        measured = self.known_token_seconds(endpoint, situation)
        joined = measured * (self.batch + streams + 1) / (self.batch + streams)
        alone = min(measured, endpoint.best_token_seconds or measured)
        crowded = alone * (1 + (streams + 1) / self.batch)
        return max(joined, crowded)

    def finish_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """Time from now to the job's last token there."""
        saved = situation.wanted.cached.get(endpoint.id, 0)
        waiting = 1.0 + endpoint.waiting / max(1, endpoint.in_use)
        return self.token_seconds(endpoint, situation) * self._tokens(situation, saved) * waiting

    def typical_seconds(self, situation: Situation) -> float:
        """The same at a typical endpoint, for comparison."""
        return situation.typical_token_seconds * self._tokens(situation, 0)

    def _tokens(self, situation: Situation, saved: int) -> float:
        """The job's size in output tokens if `saved` tokens of its prompt need not be read."""
        wanted = situation.wanted
        unread = max(0, wanted.input_tokens - saved)
        return (wanted.output_tokens or USUAL_OUTPUT_TOKENS) + self.input_share * unread


def first_token_seconds(endpoint: EndpointSnapshot) -> float:
    """Expected time to first token, for `Hedging.after_seconds`; 0 if not measured."""
    return endpoint.first_token_seconds
