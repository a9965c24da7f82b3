"""May this endpoint serve this job? One question a filter, answered by a pure function."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from balancing.policies.situation import Situation
from balancing.policies.slow_start import SlowStart
from balancing.policies.snapshot import EndpointSnapshot


def serves_model(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    return situation.wanted.model in endpoint.model_names


def serves_kind(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    return not endpoint.apis or situation.wanted.api in endpoint.apis


def has_room(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """A slot is reserved that this decision may take."""
    del situation
    return endpoint.free > 0


def is_healthy(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """The active probes get answers."""
    del situation
    return endpoint.is_healthy


def not_ejected(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """Repeated failures do not keep it out; on trial it carries one call at a time."""
    if endpoint.on_trial and endpoint.in_use > 0:
        return False
    return endpoint.ejected_until <= situation.now


def within_rate_limits(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """What its provider still allows this minute is enough for this job."""
    if endpoint.requests_left is not None and endpoint.requests_left <= 0:
        return False
    tokens = situation.wanted.input_tokens + situation.wanted.output_tokens
    return endpoint.tokens_left is None or endpoint.tokens_left >= max(1, tokens)


@dataclass(frozen=True, slots=True)
class BelowLimit:
    """Fewer calls run there than its limit allows: the learned one, ramped up after a return."""

    slow_start: SlowStart = field(default_factory=SlowStart)

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> bool:
        limit = endpoint.max_concurrent
        if endpoint.limit > 0:
            limit = min(limit, endpoint.limit)
        share = self.slow_start.share(endpoint.returned_at, situation.now)
        return endpoint.in_use < max(1, int(limit * share))


@dataclass(frozen=True, slots=True)
class NotSlow:
    """It is not many times slower than the best that takes work.

    One that is gets no more work, even if the job has to wait for another: an answer that takes
    six times as long is later than one that waited a little. What nobody uses cannot be measured:
    idle for `again_seconds`, it gets one call that measures it anew.

    Attributes:
        factor: times the best one's time per output token.
    """

    factor: float = 6.0
    again_seconds: float = 30.0

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> bool:
        best = situation.best_token_seconds
        if endpoint.token_seconds <= self.factor * best or best <= 0.0:
            return True
        idle = situation.now - endpoint.measured_at
        return endpoint.in_use == 0 and idle >= self.again_seconds


def untried(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """It has not failed this job already."""
    return endpoint.id not in situation.wanted.tried


def not_failing(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """Its last call did not fail a moment ago."""
    return endpoint.failing_until <= situation.now


@dataclass(frozen=True, slots=True)
class WithinBound:
    """Its calls per weight stay within a bound around the pool's mean.

    Source: Mirrokni, Thorup, Zadimoghaddam, Consistent Hashing with Bounded Loads (SODA 2018).
    """

    bound: float = 1.25

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> bool:
        share = self.bound * situation.load_per_weight * endpoint.weight
        return endpoint.in_use + 1 <= math.ceil(share)


below_limit = BelowLimit()
not_slow = NotSlow()
within_bound = WithinBound()
