"""What real workers are put through: recorded arrivals, compressed, and what goes wrong when.

Time is compressed by shorter prompts and answers, not by faster endpoints: as many tokens a second
as before, but more requests. What the simulation makes of the same arrivals is beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from balancing.policies import profiles
from benchmarks import traces
from benchmarks.balancing import scenarios
from benchmarks.balancing.machine import prefill, work
from benchmarks.balancing.oracle import Oracle
from benchmarks.balancing.scenarios import FAILING, ORACLE, SLOTS, SLOWDOWN, SPEEDS, Figures
from benchmarks.balancing.simulation import Change, Done, Product, Simulation
from benchmarks.traces import Arrival

COMPRESSION = 8
LEVEL = "high"
"""Of all requests: one queue in order of arrival, as the simulation has it, and hedged."""


@dataclass(frozen=True, slots=True)
class Window:
    """Requests that arrive in it are counted under its name."""

    name: str
    begins: float
    ends: float

    def holds(self, arrival: Arrival) -> bool:
        return self.begins <= arrival.ts < self.ends


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. Endpoints change at `changes`; the last one puts all right again."""

    load: float
    windows: tuple[Window, ...]
    changes: tuple[Change, ...] = ()
    compression: float = COMPRESSION

    @property
    def seconds(self) -> float:
        return self.windows[-1].ends

    def arrivals(self) -> list[Arrival]:
        return list(traces.until(compressed(self.load, self.compression), self.seconds))

    def simulated(self, policy: str) -> dict[str, Figures]:
        """By window, in virtual time: the oracle, or the product's profile of that name."""
        chooser = Oracle() if policy == ORACLE else Product(getattr(profiles, policy))
        simulation = Simulation(chooser, SPEEDS, SLOTS)
        done = simulation.run(self.arrivals(), self.changes)
        slots = simulation.slot_seconds / (simulation.now * SLOTS * len(SPEEDS))
        return {window.name: self.figures(window, done, slots) for window in self.windows}

    def figures(self, window: Window, done: Sequence[Done], slots: float) -> Figures:
        """Of the requests that arrived in the window."""
        counted = [each for each in done if window.holds(each.arrival)]
        return scenarios.figures_of(counted, slots, self.is_good)

    def is_good(self, done: Done) -> bool:
        """As in the simulation, with the compressed answer's tokens and a compressed 5 s."""
        limit = scenarios.FIRST_TOKEN_LIMIT_SECONDS / self.compression
        return done.seconds <= limit + scenarios.TOKEN_LIMIT_SECONDS * done.arrival.output_tokens

    def slower(self, factor: float) -> Plan:
        """The same with longer answers, less often."""
        return Plan(
            self.load,
            tuple(Window(w.name, w.begins * factor, w.ends * factor) for w in self.windows),
            tuple(replace(change, at=change.at * factor) for change in self.changes),
            self.compression / factor,
        )


def slowed(load: float, *, warm_up: float, healthy: float, degraded: float) -> Plan:
    """First all is well, then one fast endpoint is 10 x slower."""
    at = warm_up + healthy
    windows = (Window("healthy", warm_up, at), Window("degraded", at, at + degraded))
    return Plan(load, windows, (Change(at, 0, slowdown=SLOWDOWN), Change(at + degraded, 0)))


def failing(load: float, *, seconds: float) -> Plan:
    """One fast endpoint answers half of its calls with an error, from the beginning."""
    changes = (Change(0.0, 0, failing=FAILING), Change(seconds, 0))
    return Plan(load, (Window("failing", 0.0, seconds),), changes)


def compressed(load: float, by: float = COMPRESSION) -> list[Arrival]:
    """The simulation's arrivals at this load with a fraction of the tokens, as much more often."""
    recorded = scenarios.arrivals(load, "azure")
    short = [_shortened(arrival, by) for arrival in recorded]
    # Answers have at least a token: what that adds must not raise the load.
    factor = sum(map(work, short)) / sum(map(work, recorded))
    return [replace(arrival, ts=arrival.ts * factor) for arrival in short]


def prompt(number: int, arrival: Arrival) -> str:
    """As long as the arrival's (four characters a token), and what the endpoint shall do."""
    wanted = f"[[tokens={arrival.output_tokens} prefill={prefill(arrival.input_tokens):.2f}]]"
    return f"r{number} {wanted} " + "lorem " * (arrival.input_tokens * 4 // 6)


def _shortened(arrival: Arrival, by: float) -> Arrival:
    return replace(
        arrival,
        input_tokens=round(arrival.input_tokens / by),
        output_tokens=max(1, round(arrival.output_tokens / by)),
        level=LEVEL,
    )
