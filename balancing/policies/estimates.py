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
    """

    batch: float = 16.0
    input_share: float = 0.02

    def token_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """Time per output token, if this job joins those that run there."""
        streams = endpoint.in_use
        measured = endpoint.token_seconds or situation.typical_token_seconds
        joined = measured * (self.batch + streams + 1) / (self.batch + streams)
        crowded = endpoint.best_token_seconds * (1 + (streams + 1) / self.batch)
        return max(joined, crowded)

    def finish_seconds(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        """From now to the last token."""
        wanted = situation.wanted
        saved = min(wanted.input_tokens, wanted.cached.get(endpoint.id, 0))
        tokens = (wanted.output_tokens or USUAL_OUTPUT_TOKENS) + self.input_share * (
            wanted.input_tokens - saved
        )
        waiting = 1.0 + endpoint.waiting / max(1, endpoint.in_use)
        return self.token_seconds(endpoint, situation) * tokens * waiting


def first_token_seconds(endpoint: EndpointSnapshot) -> float:
    """What is expected of the first token, for `Hedging.after_seconds`; 0 when not measured."""
    return endpoint.first_token_seconds
