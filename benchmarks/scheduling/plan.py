"""What is replayed: a trace's arrivals, compressed in time, at a load, with levels and flows.

A recorded hour becomes minutes: service times, arrivals and the levels' wait limits shrink by one
factor. What does not shrink is what a queue costs a request, so it weighs more here than in
production: 5 ms are 1.6 % of a service time of 320 ms, but .1 % of the 4.6 s it stands for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from statistics import mean
from typing import Literal

from benchmarks import traces
from benchmarks.traces import Arrival
from scheduling.levels import LEVELS

SLOTS = 16
SERVICE_SECONDS = 0.32
"""Mean time a request holds its slot: with 16 slots 50 requests a second."""
OVERHEAD, READ_PER_SECOND, WRITTEN_PER_SECOND = 0.1, 5000.0, 50.0
"""A real endpoint's seconds a request and tokens a second, before the compression."""
MAX_WAIT = {"realtime": 3.0, "high": 30.0, "normal": 120.0, "low": 600.0}
FLOORS = {"high": 0.20, "normal": 0.15, "low": 0.10}
"""The product's defaults."""
HURT_SECONDS = 30.0
PROMISED_SHARE = 0.2
"""Of the requests above which a promise is read: half of them at `/api/v1`, half on a stream."""
UNIT_SECONDS = SERVICE_SECONDS / SLOTS
"""Between two slots that free, on average."""

Way = Literal["plain", "stream", "rest"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a scenario; `at` is seconds from the scenario's first.

    `way` is by which door llmqueue gets it: whole, as a stream that is told what to expect, or
    through the REST API.
    """

    number: int
    at: float
    level: str
    flow: str
    input_tokens: int
    output_tokens: int
    service_seconds: float
    way: Way = "plain"


@dataclass(frozen=True, slots=True)
class Scenario:
    """`seconds` is the span of its arrivals."""

    name: str
    load: float
    requests: tuple[Request, ...]
    contenders: tuple[str, ...]

    @property
    def seconds(self) -> float:
        return self.requests[-1].at if self.requests else 0.0

    @property
    def percent(self) -> int:
        return round(self.load * 100)


def real_seconds(arrival: Arrival) -> float:
    """How long the recorded request holds a slot of a real endpoint."""
    return (
        OVERHEAD
        + arrival.input_tokens / READ_PER_SECOND
        + arrival.output_tokens / WRITTEN_PER_SECOND
    )


@lru_cache(maxsize=1)
def compression() -> float:
    """By how much time is compressed: Azure's chat gets the wanted mean service time."""
    return _mean_seconds(traces.azure_conversation()) / SERVICE_SECONDS


def limits() -> dict[str, float]:
    """The levels' wait limits, compressed."""
    return {level: seconds / compression() for level, seconds in MAX_WAIT.items()}


def _mean_seconds(trace: Sequence[Arrival]) -> float:
    return mean(map(real_seconds, trace))


def chat(load: float, seconds: float, *, contenders: Sequence[str]) -> Scenario:
    """Azure's chat trace with the mix of levels: who waits how long."""
    trace = traces.azure_conversation()
    arrivals = traces.with_levels(_slice(trace, load, seconds))
    return _scenario(f"chat {load:.0%}", load, trace, list(arrivals), contenders)


def tenants(load: float, seconds: float, *, contenders: Sequence[str]) -> Scenario:
    """ServeGen's tenants at one level: whom a flood delays.

    Their answers are shorter than Azure's: the model is taken to be as much slower.
    """
    trace = traces.servegen_tenants()
    arrivals = _slice(trace, load, seconds)
    return _scenario(f"tenants {load:.0%}", load, trace, arrivals, contenders)


def flows(scenario: Scenario) -> list[str]:
    return sorted({request.flow for request in scenario.requests if request.flow})


def victims(requests: Sequence[Request], load: float) -> list[str]:
    """Flows that ask for less than the max-min fair share of the slots: others' floods only."""
    asked: Counter[str] = Counter()
    for request in requests:
        asked[request.flow] += request.service_seconds  # type: ignore[assignment]
    capacity = sum(asked.values()) / load
    share = fair_share(asked, capacity)
    return sorted(flow for flow, seconds in asked.items() if seconds < share)


def fair_share(asked: Mapping[str, float], capacity: float) -> float:
    """The level L at which the sum of min(asked, L) fills the capacity (water filling)."""
    left, among = capacity, len(asked)
    for seconds in sorted(asked.values()):
        if seconds * among >= left:
            return left / among
        left -= seconds
        among -= 1
    return float("inf")


def _slice(trace: Sequence[Arrival], load: float, seconds: float) -> list[Arrival]:
    """A piece of the trace, as many requests as arrive in so many seconds at this load."""
    shrink = _mean_seconds(trace) / SERVICE_SECONDS
    chosen = _typical(trace, round(seconds * load / UNIT_SECONDS))
    return list(
        traces.at_load(
            chosen, load, slots=SLOTS, service_seconds=lambda each: real_seconds(each) / shrink
        )
    )


def _typical(trace: Sequence[Arrival], wanted: int) -> Sequence[Arrival]:
    """Of the pieces with so many requests the one whose mean service time is most the trace's."""
    sums = [0.0, *accumulate(map(real_seconds, trace))]
    usual = sums[-1] / len(trace)
    first = min(
        range(0, len(trace) - wanted + 1, 50),
        key=lambda start: abs((sums[start + wanted] - sums[start]) / wanted - usual),
    )
    return trace[first : first + wanted]


def _scenario(
    name: str,
    load: float,
    trace: Sequence[Arrival],
    arrivals: Sequence[Arrival],
    contenders: Sequence[str],
) -> Scenario:
    shrink, rng = _mean_seconds(trace) / SERVICE_SECONDS, random.Random(7)
    first = arrivals[0].ts if arrivals else 0.0
    requests = tuple(
        Request(
            number=number,
            at=each.ts - first,
            level=each.level,
            flow=each.flow,
            input_tokens=each.input_tokens,
            output_tokens=each.output_tokens,
            service_seconds=real_seconds(each) / shrink,
            way=_way(rng.random()),
        )
        for number, each in enumerate(arrivals)
    )
    assert all(request.level in LEVELS for request in requests)
    return Scenario(name, load, requests, tuple(contenders))


def _way(draw: float) -> Way:
    if draw >= PROMISED_SHARE:
        return "plain"
    return "rest" if draw < PROMISED_SHARE / 2 else "stream"
