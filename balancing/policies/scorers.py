"""How good is this endpoint for this job? Each scorer is one criterion, from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass, field

from balancing.policies.estimates import Estimate
from balancing.policies.hashing import weighted_draw
from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot


def least_connections(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """1 if it is idle, towards 0 as its calls per weight grow."""
    del situation
    return 1.0 / (1.0 + endpoint.in_use / max(endpoint.weight, 1e-9))


def headroom(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """The free share of its slots, by its learned limit."""
    del situation
    limit = endpoint.limit or endpoint.max_concurrent
    return max(0.0, 1.0 - endpoint.in_use / limit) if limit > 0 else 0.0


def speed(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """Its speed relative to the fastest endpoint's."""
    if endpoint.token_seconds <= 0.0 or situation.best_token_seconds <= 0.0:
        return 1.0
    return min(1.0, situation.best_token_seconds / endpoint.token_seconds)


def peak_latency(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """Falls with its recent peak latency times the calls that share it.

    Source: Peak EWMA of Finagle's load balancers.
    """
    del situation
    calls = (endpoint.in_use + 1) / max(endpoint.weight, 1e-9)
    return 1.0 / (1.0 + endpoint.peak_first_token_seconds * calls)


@dataclass(frozen=True, slots=True)
class HotAndCold:
    """Endpoints with few calls come first, by latency; hot endpoints follow, by their calls.

    An endpoint is hot if it carries more calls than `quantile` of those that serve the model.
    Source: Wydrowski et al., Load is not what you should balance: Introducing Prequal (NSDI 2024).
    The paper probes a few servers for each request; here the counts of all of them are known.
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
    """Falls with the estimated time from now to the job's last token there.

    The score is a half if this takes as long as at a typical endpoint. So long and short jobs, and
    fast and slow endpoints, get scores of the same size, and other scorers keep their weight.
    """

    estimate: Estimate = field(default_factory=Estimate)

    def __call__(self, endpoint: EndpointSnapshot, situation: Situation) -> float:
        typical = self.estimate.typical_seconds(situation)
        return typical / (typical + self.estimate.finish_seconds(endpoint, situation))


def affinity(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """The share of the prompt that it has in its cache, as far as known."""
    wanted = situation.wanted
    cached = wanted.cached.get(endpoint.id, 0)
    return min(1.0, cached / wanted.input_tokens) if wanted.input_tokens > 0 else 0.0


def home(endpoint: EndpointSnapshot, situation: Situation) -> float:
    """The highest at the home of the job's affinity key; 0 for all if the job has no key.

    Without a conversation's id, the first block of the prompt is the key, unless an endpoint is
    known to hold it: a system prompt that all jobs share must not send all of them to one home.
    """
    wanted = situation.wanted
    key = wanted.affinity or (wanted.prefix[0] if wanted.prefix and not wanted.cached else "")
    if not key:
        return 0.0
    weight = max(endpoint.weight, 1e-9) / max(situation.largest_weight, 1e-9)
    return weighted_draw(key, endpoint.name, weight)


hot_and_cold = HotAndCold()
expected_work = ExpectedWork()
