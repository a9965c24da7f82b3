"""What the product knows of an endpoint: measured from its streams, never read from the machine.

The averages are those of the live state in Valkey: a sample weighs by the time since the last one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp

from balancing.policies.ejection import Standing
from balancing.policies.goodput import Look
from balancing.policies.limits import Goodput
from balancing.policies.snapshot import EndpointSnapshot
from balancing.policies.trials import Learned
from benchmarks.balancing.machine import Call, Machine

SPAN_SECONDS = 10.0
BEST_SPAN_SECONDS = 600.0
LEAST_WEIGHT = 0.05
COOLDOWN_SECONDS = 5.0
MODEL = "m"
MODELS = frozenset({MODEL})


@dataclass(slots=True)
class Watched:
    """One endpoint as workers see it."""

    machine: Machine
    weight: float
    first_token_seconds: float = 0.0
    peak_first_token_seconds: float = 0.0
    token_seconds: float = 0.0
    best_token_seconds: float = 0.0
    measured_at: float = 0.0
    failing_until: float = 0.0
    running_cost: float = 0.0
    standing: Standing = field(default_factory=Standing)
    learned: Learned = field(init=False)
    _work: Look = field(default_factory=lambda: Look(0.0, 0))
    _first_at: float = 0.0
    _token_at: float = 0.0
    _looked_at: float = 0.0
    _clock: float = 0.0

    def __post_init__(self) -> None:
        self.learned = Learned.begun(self.machine.slots, now=0.0)

    def snapshot(self, now: float) -> EndpointSnapshot:
        machine = self.machine
        in_use = len(machine.calls)
        return EndpointSnapshot(
            id=machine.id,
            name=f"e{machine.id}",
            model_names=MODELS,
            weight=self.weight,
            max_concurrent=machine.slots,
            in_use=in_use,
            free=machine.slots - in_use,
            failing_until=self.failing_until,
            limit=self.learned.limit,
            ejected_until=self.standing.ejected_until,
            on_trial=self.standing.is_on_trial(now),
            returned_at=self.standing.returned_at,
            first_token_seconds=self.first_token_seconds,
            peak_first_token_seconds=self.peak_first_token_seconds,
            token_seconds=self.token_seconds,
            best_token_seconds=self.best_token_seconds,
            measured_at=self.measured_at,
            running_cost=self.running_cost,
        )

    def saw_first_token(self, seconds: float, now: float) -> None:
        share = _share(now - self._first_at, SPAN_SECONDS)
        self.first_token_seconds = _blend(self.first_token_seconds, seconds, share)
        peak = self.peak_first_token_seconds
        self.peak_first_token_seconds = seconds if seconds >= peak else _blend(peak, seconds, share)
        self._first_at = self.measured_at = now

    def saw_end(self, call: Call, now: float) -> None:
        """A whole answer: the mean time of its tokens after the first."""
        self._count(call, now)
        tokens = call.arrival.output_tokens - 1
        if tokens > 0:
            self._saw_tokens((now - call.first_token_at) / tokens, now)

    def _count(self, call: Call, now: float) -> None:
        work = replace(self._work, ended=self._work.ended + 1)
        if call.began_at >= self.learned.since:
            work = replace(
                work,
                tokens=work.tokens + call.arrival.output_tokens,
                seconds=work.seconds + now - call.began_at,
                calls=work.calls + 1,
            )
        self._work = work

    def look(self, rule: Goodput | None, now: float, *, in_flight: bool) -> None:
        """Once a second: how far the running streams have come since the last look."""
        if rule is not None:
            look = replace(self._work, now=now, in_use=len(self.machine.calls))
            self.learned = rule.step(self.learned, look, most=self.machine.slots)
        self._work = Look(now, 0)
        machine = self.machine
        machine.advance(now)
        passed, made = now - self._looked_at, machine.clock - self._clock
        self._looked_at, self._clock = now, machine.clock
        if made <= 0.0 or not any(call.first_token_at for call in machine.calls):
            return
        if in_flight:
            self._saw_tokens(passed / made, now)

    def _saw_tokens(self, seconds: float, now: float) -> None:
        passed = now - self._token_at
        self.token_seconds = _blend(self.token_seconds, seconds, _share(passed, SPAN_SECONDS))
        best = self.best_token_seconds
        if best <= 0.0 or self.token_seconds < best:
            self.best_token_seconds = self.token_seconds
        else:
            share = 1 - exp(-passed / BEST_SPAN_SECONDS)
            self.best_token_seconds = _blend(best, self.token_seconds, share)
        self._token_at = self.measured_at = now


def _share(passed: float, span: float) -> float:
    return max(LEAST_WEIGHT, 1 - exp(-max(0.0, passed) / span))


def _blend(old: float, sample: float, share: float) -> float:
    return old + share * (sample - old) if old > 0.0 else sample
