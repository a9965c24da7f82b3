"""How fast is an endpoint, how often does it fail, is it well?

Valkey has one hash for each endpoint. The Lua scripts write it; it expires a day after the last
call. If Valkey loses it, traffic and probes fill it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from balancing.policies.ejection import Standing
from balancing.policies.slow_start import SlowStart

# Time constant by which a peak is forgotten. An endpoint that is avoided because of its peak has no
# calls that could show that the peak is over.
PEAK_SECONDS = 10.0
# No answer has more; endpoints tell what they like, and Valkey's integers are bounded.
MOST_TOKENS = 10_000_000

FIELDS = (
    "failures", "ejections", "ejected_until", "returned_at", "ejected_times", "failing_until",
    "first_token", "peak", "first_token_at", "token", "best_token", "token_at",
    "limit", "healthy", "waiting", "probed_at", "probe_error", "requests", "errors", "answered_at",
    "bad_probes", "good_probes", "probe_doubted", "ejected_why",
)  # fmt: skip
_MILLISECONDS = frozenset(name for name in FIELDS if name.endswith(("_at", "_until")))


def live_key(endpoint_id: int) -> str:
    return f"llmq:live:{endpoint_id}"


class CallOutcome(IntEnum):
    """What the end of a call says about its endpoint; the numbers are for `lua/release.lua`."""

    ANSWERED = 1
    # It says nothing: the call was cancelled, or the request was at fault.
    SILENT = 0
    FAILED = -1
    # It is full. The endpoint is avoided for a moment, but this does not count as a failure.
    BUSY = -2
    # Our account there is used up. A few of these in a row eject it for as long as it says.
    EXHAUSTED = -3
    # It failed, but perhaps because of this very request: twenty of these are one failure.
    DOUBTED = -4
    # A doubted failure, after another endpoint has answered the same request.
    CHARGED = -5


class HealthState(StrEnum):
    """An endpoint's health in one word; `returning` is the slow start after an absence."""

    HEALTHY = "healthy"
    RETURNING = "returning"
    TRIAL = "trial"
    EJECTED = "ejected"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a call, and what it says about the endpoint.

    Attributes:
        first_token_seconds: from the start of the call to its first token; 0 if unknown.
        token_seconds: time per output token; 0 if unknown.
        tokens, seconds: what it made and how long it took, for the limit; 0 if it says nothing.
        avoid_seconds: how long the endpoint asks to be left alone; 0 if it does not say.
        reason: of a failure, for operators.
    """

    endpoint_id: int
    lease: str
    outcome: CallOutcome = CallOutcome.SILENT
    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    avoid_seconds: float = 0.0
    reason: str = ""

    def arguments(self) -> tuple[str, int, int, int, int, int, int]:
        """The arguments of `lua/release.lua` for this call."""
        token = int(self.token_seconds * 1e6)
        first = int(self.first_token_seconds * 1e6)
        milliseconds = math.ceil(self.seconds * 1000)
        tokens = max(0, min(self.tokens, MOST_TOKENS))
        avoid = int(self.avoid_seconds * 1000)
        return self.lease, int(self.outcome), first, token, tokens, milliseconds, avoid


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome that the ejection rule must judge, and the endpoint's standing after it.

    Attributes:
        out_seconds: how long an account that is used up stays so; 0 for other failures.
        reason: of a failure, for operators.
    """

    endpoint_id: int
    at: float
    succeeded: bool
    standing: Standing
    out_seconds: float = 0.0
    reason: str = ""

    @classmethod
    def of_reply(cls, ending: Ending, now: int, values: Sequence[Any]) -> Verdict:
        outcome, failures, ejections, ejected_until, returned_at = (int(v) for v in values)
        standing = Standing(failures, ejections, ejected_until / 1000, returned_at / 1000)
        out = ending.avoid_seconds if ending.outcome is CallOutcome.EXHAUSTED else 0.0
        return cls(ending.endpoint_id, now / 1000, outcome > 0, standing, out, ending.reason)


@dataclass(frozen=True, slots=True)
class Live:
    """An endpoint's live state; instants are Unix seconds of Valkey's clock, 0 for never.

    Attributes:
        limit: the learned limit; 0 if there is none, and `max_concurrent` holds.
        requests, errors: calls since the hash exists, and how many of them failed.
        probe_doubted: a call was answered while probes failed: a probe's HTTP error proves nothing.
        ejected_why: what its last ejection is due to.
    """

    failures: int = 0
    ejections: int = 0
    ejected_until: float = 0.0
    returned_at: float = 0.0
    ejected_times: int = 0
    failing_until: float = 0.0
    first_token: float = 0.0
    peak: float = 0.0
    first_token_at: float = 0.0
    token: float = 0.0
    best_token: float = 0.0
    token_at: float = 0.0
    limit: float = 0.0
    healthy: bool = True
    waiting: int = 0
    probed_at: float = 0.0
    probe_error: str = ""
    requests: int = 0
    errors: int = 0
    answered_at: float = 0.0
    bad_probes: int = 0
    good_probes: int = 0
    probe_doubted: bool = False
    ejected_why: str = ""

    @classmethod
    def of_values(cls, values: Sequence[bytes | None]) -> Live:
        """From the values of the fields, in the order of `FIELDS`."""
        known = {
            name: _typed(name, value)
            for name, value in zip(FIELDS, values, strict=True)
            if value is not None
        }
        return cls(**known)

    @property
    def standing(self) -> Standing:
        return Standing(self.failures, self.ejections, self.ejected_until, self.returned_at)

    @property
    def measured_at(self) -> float:
        return max(self.first_token_at, self.token_at)

    def health(self, now: float) -> HealthState:
        if not self.healthy:
            return HealthState.UNHEALTHY
        if self.ejected_until > now:
            return HealthState.EJECTED
        if self.ejected_until > 0:
            return HealthState.TRIAL
        is_ramping = now - self.returned_at < SlowStart().seconds
        return HealthState.RETURNING if is_ramping else HealthState.HEALTHY

    def peak_seconds(self, now: float) -> float:
        """The peak time to first token, less what it has fallen since it was measured."""
        fallen = math.exp(-max(0.0, now - self.first_token_at) / PEAK_SECONDS)
        return self.first_token + (self.peak - self.first_token) * fallen


def _typed(name: str, value: bytes) -> Any:
    text = value.decode("utf-8", "replace")
    if name in _MILLISECONDS:
        return float(text) / 1000
    default = getattr(EMPTY, name)
    if isinstance(default, bool):
        return text == "1"
    return type(default)(text)


EMPTY = Live()
