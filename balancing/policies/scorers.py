"""How good is this endpoint for this job? One criterion a scorer, answered in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass, field

from balancing.policies.estimates import Estimate
from balancing.policies.hashing import weighted_draw
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot


def least_connections(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """1 when idle, towards 0 as calls per weight grow."""
    del situation
    return 1.0 / (1.0 + endpoint.in_use / max(endpoint.weight, 1e-9))


def headroom(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """The share of its slots that is free, by the limit that was learned last."""
    del situation
    limit = endpoint.limit or endpoint.max_concurrent
    return max(0.0, 1.0 - endpoint.in_use / limit) if limit > 0 else 0.0


def speed(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """Its speed by that of the fastest."""
    if endpoint.token_seconds <= 0.0 or situation.best_token_seconds <= 0.0:
        return 1.0
    return min(1.0, situation.best_token_seconds / endpoint.token_seconds)


def peak_latency(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """Falls with the latency's recent peak times the calls that share it.

    Source: Peak EWMA of Finagle's load balancers.
    """
    del situation
    calls = (endpoint.in_use + 1) / max(endpoint.weight, 1e-9)
    return 1.0 / (1.0 + endpoint.peak_first_token_seconds * calls)


@dataclass(frozen=True, slots=True)
class HotAndCold:
    """Endpoints with few calls come first, by latency; then the hot ones, by their calls.

    Hot is what carries more calls than `quantile` of the pool. Source: Wydrowski et al., Load is
    not what you should balance: Introducing Prequal (NSDI 2024). The paper probes a few servers a
    request; here the shared counts of all of them are at hand.
    """

    quantile: float = 0.84
    estimate: Estimate = field(default_factory=Estimate)

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        calls = sorted(e.in_use for e in situation.serving) or [0]
        limit = calls[int(self.quantile * (len(calls) - 1))]
        if endpoint.in_use > limit:
            return 0.5 / (1.0 + endpoint.in_use)
        return 0.5 + 0.5 / (1.0 + self.estimate.finish_seconds(endpoint, situation))


@dataclass(frozen=True, slots=True)
class ExpectedWork:
    """Falls with the time from now to the job's last token there, as estimated.

    A half where that is as long as the job takes at a typical endpoint of the pool: long jobs and
    short ones, fast pools and slow ones are scored alike, and other scorers keep their say.
    """

    estimate: Estimate = field(default_factory=Estimate)

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        typical = self.estimate.typical_seconds(situation)
        return typical / (typical + self.estimate.finish_seconds(endpoint, situation))


def affinity(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """The share of the prompt whose prefill it saves, as far as known."""
    wanted = situation.wanted
    cached = wanted.cached.get(endpoint.id, 0)
    return min(1.0, cached / wanted.input_tokens) if wanted.input_tokens > 0 else 0.0


def home(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """The highest where the job's affinity key belongs; the same for all when it has none.

    Without a conversation's id the first block of the prompt stands in for it, unless somebody is
    known to hold it: a system prompt that all jobs share would else draw them all to one home.
    """
    wanted = situation.wanted
    key = wanted.affinity or (wanted.prefix[0] if wanted.prefix and not wanted.cached else "")
    if not key:
        return 0.0
    weight = max(endpoint.weight, 1e-9) / max(situation.largest_weight, 1e-9)
    return weighted_draw(key, endpoint.name, weight)


hot_and_cold = HotAndCold()
expected_work = ExpectedWork()
