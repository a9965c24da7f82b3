"""What is asked of the policies: six unequal endpoints, recorded arrivals, and what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby

from balancing.policies import profiles
from balancing.policies.profile import Profile
from benchmarks import traces
from benchmarks.balancing.machine import Machine, work
from benchmarks.balancing.oracle import Oracle
from benchmarks.balancing.simulation import Change, Chooser, Done, Product, Simulation
from benchmarks.traces import Arrival

SPEEDS = (1.0, 1.0, 1.0, 0.5, 0.5, 0.25)
SLOTS = 16
SECONDS = {"healthy": 1200.0, "degraded": 1700.0, "failing": 600.0, "conversations": 1200.0}
WARM_UP_SECONDS = 60.0
BLOCK_SECONDS = 60.0
DEGRADED = ((300.0, 0), (800.0, 1), (1300.0, 2))
"""When which of the fast endpoints gets slow; each time for `DEGRADED_SECONDS`."""
DEGRADED_SECONDS = 300.0
SLOWDOWN = 10.0
FAILING = 0.5
FIRST_TOKEN_LIMIT_SECONDS, TOKEN_LIMIT_SECONDS = 5.0, 0.1
"""A request is good if it ends within 5 s and another 0.1 s for each of its output tokens."""
CACHE_TOKENS = 3_000_000
ORACLE, IN_FLIGHT = "oracle", "expected_work, measured in flight"
DEFAULT = "expected_work"


@dataclass(frozen=True, slots=True)
class Figures:
    """One policy under one condition; times are from arrival to last token.

    Attributes:
        goodput: percent of the requests that were good.
        slots: percent of all slots that were in use, over the whole run.
        attempts: calls by requests.
        saved: percent of the prompt tokens that a single unlimited cache would have saved.
    """

    p50: float
    p99: float
    p999: float
    goodput: float
    slots: float
    attempts: float
    saved: float


@dataclass(frozen=True, slots=True)
class Case:
    """One run: a policy and what it is put through.

    Attributes:
        condition: healthy, degraded (one fast endpoint 10 x slower), failing (one fast endpoint
            fails half of its calls) or conversations (long prompts that begin alike).
    """

    policy: str
    condition: str
    load: float

    def run(self) -> Figures:
        simulation = Simulation(
            _chooser(self.policy),
            SPEEDS,
            SLOTS,
            in_flight=self.policy == IN_FLIGHT,
            cache_tokens=CACHE_TOKENS,
        )
        trace = "mooncake" if self.condition == "conversations" else "azure"
        requests = traces.until(arrivals(self.load, trace), SECONDS[self.condition])
        done = simulation.run(requests, _changes(self.condition))
        slots = simulation.slot_seconds / (simulation.now * SLOTS * len(SPEEDS))
        return figures_of([d for d in done if self._counts(d.arrival)], slots)

    def _counts(self, arrival: Arrival) -> bool:
        if self.condition == "degraded":
            return any(at <= arrival.ts < at + DEGRADED_SECONDS for at, _ in DEGRADED)
        return arrival.ts >= WARM_UP_SECONDS


def policies() -> list[str]:
    """Every profile of the product, between the oracle and the default measured another way."""
    # In the order of their definition, the simple ones first.
    names = [name for name, value in vars(profiles).items() if isinstance(value, Profile)]
    return [ORACLE, *names, IN_FLIGHT]


def cases(loads: Sequence[float] = (0.5, 0.7)) -> list[Case]:
    return [
        *(
            Case(policy, condition, load)
            for load in loads
            for condition in ("healthy", "degraded")
            for policy in policies()
        ),
        *(Case(policy, "failing", 0.7) for policy in policies()[1:-1]),
        *(Case(policy, "conversations", 0.7) for policy in policies()[:-1]),
    ]


_TRACES: Mapping[str, str] = {
    "azure": "azure-conversation",
    "mooncake": "mooncake-conversation",
}


@lru_cache
def arrivals(load: float, trace: str) -> tuple[Arrival, ...]:
    """Recorded requests at a load, 1 being all that the six can do with every slot taken.

    The recorded rate drifts over the hour; each minute of it is moved to the load, so that one
    part of a run is not harder than another. Within a minute it is as bursty as it was.
    """
    rate = load * sum(Machine(0, speed, SLOTS).most_tokens_per_second() for speed in SPEEDS)
    moved, at = [], 0.0
    recorded = traces.TRACES[_TRACES[trace]]()
    for block, group in groupby(recorded, key=lambda arrival: int(arrival.ts // BLOCK_SECONDS)):
        found = list(group)
        seconds = sum(map(work, found)) / rate
        for each in found:
            place = each.ts / BLOCK_SECONDS - block
            moved.append(replace(each, ts=at + place * seconds))
        at += seconds
    return tuple(traces.with_levels(moved))


def is_good(done: Done) -> bool:
    limit = FIRST_TOKEN_LIMIT_SECONDS + TOKEN_LIMIT_SECONDS * done.arrival.output_tokens
    return done.seconds <= limit


def _chooser(policy: str) -> Chooser:
    if policy == ORACLE:
        return Oracle()
    return Product(getattr(profiles, policy.partition(",")[0]))


def _changes(condition: str) -> list[Change]:
    if condition == "failing":
        return [Change(0.0, 0, failing=FAILING)]
    if condition != "degraded":
        return []
    return [
        change
        for at, machine in DEGRADED
        for change in (
            Change(at, machine, slowdown=SLOWDOWN),
            Change(at + DEGRADED_SECONDS, machine),
        )
    ]


def figures_of(
    done: Sequence[Done], slots: float, good: Callable[[Done], bool] = is_good
) -> Figures:
    """Of at least one request; `slots` is the share that was in use."""
    seconds = sorted(d.seconds for d in done)
    ideal = sum(d.arrival.prefix_tokens for d in done)
    return Figures(
        p50=_quantile(seconds, 0.5),
        p99=_quantile(seconds, 0.99),
        p999=_quantile(seconds, 0.999),
        goodput=100 * sum(map(good, done)) / len(done),
        slots=100 * slots,
        attempts=sum(d.attempts for d in done) / len(done),
        saved=100 * sum(d.saved_tokens for d in done) / ideal if ideal else 0.0,
    )


def _quantile(ascending: Sequence[float], share: float) -> float:
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]
