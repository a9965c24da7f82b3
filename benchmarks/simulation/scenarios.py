"""The runs: which arrivals meet which policy. Every policy of a scenario sees the same ones."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import traces
from benchmarks.simulation.jobs import Speed
from benchmarks.simulation.measures import Meter
from benchmarks.simulation.policies import Made
from benchmarks.simulation.replay import Replay
from benchmarks.traces import Arrival

# From the end of a call to the next claim. An idle worker needs 4 ms from submit to answer.
TURNAROUND_SECONDS = 0.010
FLOWS = 50


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load on some slots.

    Attributes:
        load: offered work by what the slots can do; 1.3 is 30 % too much.
        trace: recorded arrivals, which are moved to the load.
        hours: how long, the trace being repeated; None: the trace once.
        flows: weights of the flows that send it; without any the trace's own.
        mix: weights of the levels; without any the trace's own.
    """

    name: str
    load: float
    trace: Callable[[], Sequence[Arrival]] = traces.azure_conversation
    slots: int = 32
    hours: float | None = None
    flows: Mapping[str, float] = field(default_factory=dict)
    mix: Mapping[str, float] = field(default_factory=lambda: traces.MIX)
    speed: Speed = field(default_factory=Speed)
    seed: int = 1
    by_flow: bool = False

    def arrivals(self) -> Iterable[Arrival]:
        """From the seed, one at a time."""
        own = self.trace()
        moved: Iterable[Arrival] = tuple(
            traces.at_load(
                own, self.load, slots=self.slots, service_seconds=self.speed.service_seconds
            )
        )
        if self.hours is not None:
            moved = traces.repeated(tuple(moved), seconds=self.hours * 3600)
        if self.flows:
            moved = traces.with_flows(moved, self.flows, seed=self.seed + 1)
        return traces.with_levels(moved, self.mix, seed=self.seed) if self.mix else moved

    def expected_seconds(self) -> float:
        """About how long the arrivals last."""
        own = self.trace()
        if self.hours is not None:
            return self.hours * 3600
        work = sum(map(self.speed.service_seconds, own))
        return work / (self.load * self.slots)


def run(
    scenario: Scenario, make: Callable[[int], Made], *, progress: Callable[[float], None]
) -> Meter:
    """One scenario under one policy; `progress` hears which part of it has arrived."""
    queue, door = make(scenario.slots)
    expected = scenario.expected_seconds()
    meter = Meter(bin_seconds=max(30.0, expected / 120), by_flow=scenario.by_flow)
    replay = Replay(
        scenario.arrivals(),
        slots=scenario.slots,
        service_seconds=scenario.speed.service_seconds,
        queue=queue,
        door=door,
        observer=meter,
        turnaround_seconds=TURNAROUND_SECONDS,
    )
    for number, now in enumerate(replay.steps()):
        if not number % 2000:
            progress(now / expected)
    return meter


@dataclass(slots=True)
class Progress:
    """One line on standard error, rewritten at a terminal, and one for each run elsewhere."""

    runs: int
    done: int = 0
    _began: float = field(default_factory=time.monotonic)

    def of(self, name: str) -> Callable[[float], None]:
        self.done += 1
        if not sys.stderr.isatty():
            print(f"[{self.done}/{self.runs}] {name}", file=sys.stderr, flush=True)
        return lambda part: self._show(name, part)

    def _show(self, name: str, part: float) -> None:
        if sys.stderr.isatty():
            seconds = time.monotonic() - self._began
            line = f"[{self.done}/{self.runs}] {name}: {part:4.0%}, {seconds:.0f} s"
            print(f"\r{line:<76}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if sys.stderr.isatty():
            print(f"\r{'':<76}\r", end="", file=sys.stderr, flush=True)


def main_scenarios() -> list[Scenario]:
    """The levels under three loads, sent by 50 tenants alike."""
    alike = traces.noisy_flows(FLOWS, noisy=0, share=0.0)
    return [Scenario(f"{load:.0%}", load, flows=alike) for load in (0.95, 1.3, 2.0)]


def fairness_scenarios() -> list[Scenario]:
    """One level at 150 %: what a flood does to those who do not flood."""
    one_level = {"normal": 1.0}
    four = traces.noisy_flows(FLOWS, noisy=4, share=0.6)
    return [
        Scenario("one of 47", 1.5, trace=traces.servegen_tenants, mix=one_level, by_flow=True),
        Scenario("4 of 50", 1.5, flows=four, mix=one_level, by_flow=True),
    ]
