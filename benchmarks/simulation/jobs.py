"""A request in the simulation, and how long it holds a slot."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from benchmarks.traces import Arrival

MODEL = "simulated"


def model_of(flow: str) -> str:
    """The model that a flow asks for: "fast/a-1" asks for "fast", other flows for `MODEL`."""
    model, slash, _ = flow.partition("/")
    return model if slash else MODEL


@dataclass(slots=True, eq=False)
class Job:
    """One request on its way; times are seconds of virtual time.

    Attributes:
        number: its place among all arrivals; ties are broken by it.
        cost, tag, settled: as in `scheduling/policies/fairness.py`.
        estimated_wait: what admission expected when it was submitted; None if it did not say.
        told_position, told_wait: what it was told once it was stored; 0 and None if nothing.
        place: its true place then among those that waited at its level; 0 if it started at once.
    """

    number: int
    arrival: Arrival
    service_seconds: float
    cost: float = 0.0
    tag: float = 0.0
    settled: float = 0.0
    started_at: float = 0.0
    estimated_wait: float | None = None
    told_position: int = 0
    told_wait: float | None = None
    place: int = 0
    best_wait: float = 0.0

    @property
    def id(self) -> UUID:
        """In order of submission, as version 7 is."""
        return UUID(int=self.number)

    @property
    def submitted_at(self) -> float:
        return self.arrival.ts

    @property
    def level(self) -> str:
        return self.arrival.level

    @property
    def flow(self) -> str:
        return self.arrival.flow

    @property
    def wait_seconds(self) -> float:
        return self.started_at - self.arrival.ts


@dataclass(frozen=True, slots=True)
class Speed:
    """An endpoint's slot: tokens a second read and written. A batch does not slow it down."""

    read_per_second: float = 10_000.0
    written_per_second: float = 50.0

    def service_seconds(self, arrival: Arrival) -> float:
        return (
            arrival.input_tokens / self.read_per_second
            + arrival.output_tokens / self.written_per_second
        )
