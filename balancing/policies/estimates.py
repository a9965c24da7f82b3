"""How long would this job take there? In seconds, from what was measured and what runs there.

A decoding batch shares the device: `b` streams together run at `1 / (1 + b / batch)` of the speed
of one alone, roughly, up to the endpoint's limits. The moving average says how fast it was with
those that ran lately; the count of calls, which all workers see at once, says what has changed
since. Each covers what the other misses: a device that got slower, and a burst of calls that no
measurement has seen yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot

USUAL_OUTPUT_TOKENS = 256
"""Of a job whose output nobody has estimated."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """The model behind the estimates.

    Attributes:
        batch: streams that together halve the speed of each.
        input_share: time of an input token in output tokens: prefill works in parallel.
        again_seconds: a measurement of an idle endpoint is believed for so long: nobody would use
            one that was slow once, and so nobody would find out that it is not slow any more.
    """

    batch: float = 16.0
    input_share: float = 0.02
    again_seconds: float = 30.0

    def known_token_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """As measured; what has been idle for long counts as well as it ever was."""
        if endpoint.token_seconds <= 0.0:
            return situation.typical_token_seconds
        idle = 0.0 if endpoint.in_use else situation.now - endpoint.measured_at
        if idle < self.again_seconds:
            return endpoint.token_seconds
        best = endpoint.best_token_seconds or endpoint.token_seconds
        # Slow for hours, it has forgotten how fast it once was.
        return (
            best if idle < 10 * self.again_seconds else min(best, situation.typical_token_seconds)
        )

    def token_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """Time per output token, if this job joins those that run there."""
        streams = endpoint.in_use
        measured = self.known_token_seconds(endpoint, situation)
        joined = measured * (self.batch + streams + 1) / (self.batch + streams)
        alone = min(measured, endpoint.best_token_seconds or measured)
        crowded = alone * (1 + (streams + 1) / self.batch)
        return max(joined, crowded)

    def finish_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """From now to the last token."""
        saved = situation.wanted.cached.get(endpoint.id, 0)
        waiting = 1.0 + endpoint.waiting / max(1, endpoint.in_use)
        return self.token_seconds(endpoint, situation) * self._tokens(situation, saved) * waiting

    def typical_seconds(self, situation: Situation) -> float:
        """The job at a typical endpoint of the pool; what a finish is compared with."""
        return situation.typical_token_seconds * self._tokens(situation, 0)

    def _tokens(self, situation: Situation, saved: int) -> float:
        """The job's size in output tokens, when so many of its prompt need not be read."""
        wanted = situation.wanted
        unread = max(0, wanted.input_tokens - saved)
        return (wanted.output_tokens or USUAL_OUTPUT_TOKENS) + self.input_share * unread


def first_token_seconds(endpoint: EndpointSnapshot) -> float:
    """What is expected of the first token, for `Hedging.after_seconds`; 0 when not measured."""
    return endpoint.first_token_seconds
