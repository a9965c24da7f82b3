"""What workers know together of an endpoint: how fast it is, how it fails, whether it is well.

One Valkey hash an endpoint, written by the scripts beside it, gone a day after its last call. What
is lost with Valkey is learned again from traffic and probes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from balancing.policies.ejection import Standing
from balancing.policies.slow_start import SlowStart

# How fast a peak that nobody confirms is forgotten: an endpoint that is avoided for it has no calls
# that could show that it is over.
PEAK_SECONDS = 10.0

FIELDS = (
    "failures", "ejections", "ejected_until", "returned_at", "ejected_times", "failing_until",
    "first_token", "peak", "first_token_at", "token", "best_token", "token_at",
    "limit", "healthy", "waiting", "probed_at", "probe_error", "requests", "errors", "answered_at",
    "bad_probes", "good_probes",
)  # fmt: skip
_MILLISECONDS = frozenset(name for name in FIELDS if name.endswith(("_at", "_until")))


def live_key(endpoint_id: int) -> str:
    return f"llmq:live:{endpoint_id}"


class CallOutcome(IntEnum):
    """What a call's end says of its endpoint, as `lua/release.lua` takes it."""

    ANSWERED = 1
    # Cancelled, or the request itself was at fault.
    SILENT = 0
    FAILED = -1
    # A 429: avoided for a moment, but not a failure.
    BUSY = -2


class HealthState(StrEnum):
    """An endpoint's health in one word; `returning` while its share of the work grows again."""

    HEALTHY = "healthy"
    RETURNING = "returning"
    TRIAL = "trial"
    EJECTED = "ejected"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Ending:
    """A call's end, and what it says of its endpoint.

    Attributes:
        first_token_seconds: from the call to its first token; 0 when not known.
        token_seconds: time per output token; 0 when not known.
        is_crowding: `token_seconds` is of a stream, and says how crowded the endpoint is.
    """

    endpoint_id: int
    lease: str
    outcome: CallOutcome = CallOutcome.SILENT
    first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    is_crowding: bool = False

    def arguments(self) -> tuple[str, int, int, int, int]:
        """As `lua/release.lua` takes them."""
        token = int(self.token_seconds * 1e6)
        first = int(self.first_token_seconds * 1e6)
        return self.lease, int(self.outcome), first, token, token if self.is_crowding else 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """A call's outcome that may move an ejection, and where the endpoint stands after it."""

    endpoint_id: int
    at: float
    succeeded: bool
    standing: Standing

    @classmethod
    def of_reply(cls, endpoint_id: int, now: int, values: Sequence[Any]) -> Verdict:
        outcome, failures, ejections, ejected_until, returned_at = (int(v) for v in values)
        standing = Standing(failures, ejections, ejected_until / 1000, returned_at / 1000)
        return cls(endpoint_id, now / 1000, outcome > 0, standing)


@dataclass(frozen=True, slots=True)
class Live:
    """An endpoint's live state; instants are Unix seconds of Valkey's clock, 0 when never.

    Attributes:
        limit: learned concurrency limit, not rounded; 0 when none was learned.
        requests, errors: calls since the state began, and how many of them failed.
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

    @classmethod
    def of_values(cls, values: Sequence[bytes | None]) -> Live:
        """From the fields in the order of `FIELDS`."""
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
        """The peak time to first token, fallen since it was seen."""
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
