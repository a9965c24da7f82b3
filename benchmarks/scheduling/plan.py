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
from functools import cached_property, lru_cache
from itertools import accumulate
from statistics import mean
from typing import Literal

from benchmarks import traces
from benchmarks.traces import Arrival
from scheduling.levels import LEVELS
from scheduling.policies.fairness import weighted_tokens

SLOTS = 16
USUAL_SERVICE_SECONDS = 0.32
"""Mean time a request holds its slot: with 16 slots 50 requests a second."""
OVERHEAD, READ_PER_SECOND, WRITTEN_PER_SECOND = 0.1, 5000.0, 50.0
"""A real endpoint's seconds a request and tokens a second, before the compression."""
MAX_WAIT = {"realtime": 3.0, "high": 30.0, "normal": 120.0, "low": 600.0}
FLOORS = {"high": 0.20, "normal": 0.15, "low": 0.10}
"""The product's defaults."""
HURT_SECONDS = 30.0
PROMISED_SHARE = 0.2
"""Of the requests above which a promise is read: half of them at `/api/v1`, half on a stream."""
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

    @property
    def cost(self) -> float:
        """In the currency of fairness, the Virtual Token Counter's."""
        return weighted_tokens(self.input_tokens, self.output_tokens)


@dataclass(frozen=True, slots=True)
class Compression:
    """How recorded time becomes the benchmark's: Azure's chat gets the wanted mean service time.

    Attributes:
        slower: so many times less compressed, for machines that cannot carry 50 requests a second.
    """

    slower: float = 1.0

    @property
    def service_seconds(self) -> float:
        """Mean time a request holds its slot."""
        return USUAL_SERVICE_SECONDS * self.slower

    @property
    def unit_seconds(self) -> float:
        """Between two slots that free, on average."""
        return self.service_seconds / SLOTS

    @property
    def times(self) -> float:
        """Recorded seconds by the benchmark's seconds."""
        return _mean_chat_seconds() / self.service_seconds

    @property
    def limits(self) -> dict[str, float]:
        """The levels' wait limits, compressed."""
        return {level: seconds / self.times for level, seconds in MAX_WAIT.items()}

    @property
    def hurt_seconds(self) -> float:
        """A wait that hurts a victim, compressed."""
        return HURT_SECONDS / self.times


USUAL = Compression()


@dataclass(frozen=True, slots=True)
class Scenario:
    """`seconds` is the span of its arrivals."""

    name: str
    load: float
    requests: tuple[Request, ...]
    contenders: tuple[str, ...]
    compression: Compression = USUAL

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
def _mean_chat_seconds() -> float:
    return _mean_seconds(traces.azure_conversation())


def _mean_seconds(trace: Sequence[Arrival]) -> float:
    return mean(map(real_seconds, trace))


def chat(
    load: float, seconds: float, *, contenders: Sequence[str], compression: Compression = USUAL
) -> Scenario:
    """Azure's chat trace with the mix of levels: who waits how long."""
    replay = Replay(traces.azure_conversation(), compression)
    arrivals = traces.with_levels(replay.arrivals(load, seconds))
    requests = replay.requests(list(arrivals))
    return Scenario(f"chat {load:.0%}", load, requests, tuple(contenders), compression)


def tenants(
    load: float, seconds: float, *, contenders: Sequence[str], compression: Compression = USUAL
) -> Scenario:
    """ServeGen's tenants at one level: whom a flood delays.

    Their answers are shorter than Azure's: the model is taken to be as much slower.
    """
    replay = Replay(traces.servegen_tenants(), compression)
    requests = replay.requests(replay.arrivals(load, seconds))
    return Scenario(f"tenants {load:.0%}", load, requests, tuple(contenders), compression)


@dataclass(frozen=True)
class Replay:
    """A trace whose mean service time is compressed to the wanted one."""

    trace: Sequence[Arrival]
    compression: Compression

    def arrivals(self, load: float, seconds: float) -> list[Arrival]:
        """A piece of the trace, as many requests as arrive in so many seconds at this load."""
        wanted = round(seconds * load / self.compression.unit_seconds)
        chosen = _typical(self.trace, wanted)
        return list(
            traces.at_load(chosen, load, slots=SLOTS, service_seconds=self._service_seconds)
        )

    def requests(self, arrivals: Sequence[Arrival]) -> tuple[Request, ...]:
        rng, first = random.Random(7), arrivals[0].ts if arrivals else 0.0
        assert all(each.level in LEVELS for each in arrivals)
        return tuple(
            Request(
                number=number,
                at=each.ts - first,
                level=each.level,
                flow=each.flow,
                input_tokens=each.input_tokens,
                output_tokens=each.output_tokens,
                service_seconds=self._service_seconds(each),
                way=_way(rng.random()),
            )
            for number, each in enumerate(arrivals)
        )

    @cached_property
    def _shrink(self) -> float:
        return _mean_seconds(self.trace) / self.compression.service_seconds

    def _service_seconds(self, arrival: Arrival) -> float:
        return real_seconds(arrival) / self._shrink


def flows(scenario: Scenario) -> list[str]:
    return sorted({request.flow for request in scenario.requests if request.flow})


def victims(requests: Sequence[Request], load: float) -> list[str]:
    """Flows that ask for less than the max-min fair share of what can be served at this load."""
    asked: Counter[str] = Counter()
    for request in requests:
        asked[request.flow] += request.cost  # type: ignore[assignment]
    capacity = sum(asked.values()) / load
    share = fair_share(asked, capacity)
    return sorted(flow for flow, cost in asked.items() if cost < share)


def fair_share(asked: Mapping[str, float], capacity: float) -> float:
    """The level L at which the sum of min(asked, L) fills the capacity (water filling)."""
    left, among = capacity, len(asked)
    for amount in sorted(asked.values()):
        if amount * among >= left:
            return left / among
        left -= amount
        among -= 1
    return float("inf")


def _typical(trace: Sequence[Arrival], wanted: int) -> Sequence[Arrival]:
    """Of the pieces with so many requests the one whose mean service time is most the trace's."""
    sums = [0.0, *accumulate(map(real_seconds, trace))]
    usual = sums[-1] / len(trace)
    first = min(
        range(0, len(trace) - wanted + 1, 50),
        key=lambda start: abs((sums[start + wanted] - sums[start]) / wanted - usual),
    )
    return trace[first : first + wanted]


def _way(draw: float) -> Way:
    if draw >= PROMISED_SHARE:
        return "plain"
    return "rest" if draw < PROMISED_SHARE / 2 else "stream"
