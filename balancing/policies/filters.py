"""May this endpoint serve this job? Each filter answers one question; all are pure."""

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
    """A slot is reserved there that this choice may take."""
    del situation
    return endpoint.free > 0


def is_healthy(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """Its server answers probes; on trial, a call decides whether it is well all the same."""
    del situation
    return endpoint.is_healthy or endpoint.on_trial


def not_ejected(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """It is not out after failures; on trial it carries one call at a time."""
    if endpoint.on_trial and endpoint.in_use > 0:
        return False
    return endpoint.ejected_until <= situation.now


def within_rate_limits(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """Its rate limits leave enough for this job."""
    if endpoint.requests_left is not None and endpoint.requests_left <= 0:
        return False
    tokens = situation.wanted.input_tokens + situation.wanted.output_tokens
    return endpoint.tokens_left is None or endpoint.tokens_left >= max(1, tokens)


@dataclass(frozen=True, slots=True)
class BelowLimit:
    """Fewer calls run there than its learned limit allows, or the slow start after a return."""

    slow_start: SlowStart = field(default_factory=SlowStart)

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> bool:
        limit = endpoint.max_concurrent
        if endpoint.limit > 0:
            limit = min(limit, endpoint.limit)
        share = self.slow_start.share(endpoint.returned_at, situation.now)
        return endpoint.in_use < max(1, int(limit * share))


@dataclass(frozen=True, slots=True)
class NotSlow:
    """It is not many times slower than the fastest endpoint that takes work.

    A slower one gets no work, even if the job must wait for another endpoint: an answer that takes
    six times as long comes later than one that waited a little. An unused endpoint cannot be
    measured, so it gets one call when it has been idle for `again_seconds`.

    Attributes:
        factor: too slow is more than so many times the fastest one's time per output token.
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
    """It has not failed at this job yet."""
    return endpoint.id not in situation.wanted.tried


def not_failing(endpoint: EndpointSnapshot, situation: Situation) -> bool:
    """None of its calls failed a moment ago."""
    return endpoint.failing_until <= situation.now


@dataclass(frozen=True, slots=True)
class WithinBound:
    """Its calls per weight stay within a bound above the mean of all that serve the model.

    Source: Mirrokni, Thorup, Zadimoghaddam, Consistent Hashing with Bounded Loads (SODA 2018).
    """

    bound: float = 1.25

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> bool:
        share = self.bound * situation.load_per_weight * endpoint.weight
        return endpoint.in_use + 1 <= math.ceil(share)


below_limit = BelowLimit()
not_slow = NotSlow()
within_bound = WithinBound()
