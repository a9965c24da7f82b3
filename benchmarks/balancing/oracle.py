"""The yardstick: somebody who knows every machine's true speed and every answer's true length."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.balancing.machine import BATCH, TOKEN_SECONDS, Machine, work
from benchmarks.balancing.simulation import Request, Simulation


@dataclass(frozen=True, slots=True)
class Oracle:
    """Least true seconds among machines with a free slot, the job's own and what it costs others.

    Attributes:
        skip: machines that many times slower than the best get nothing; 0 skips none.
        others: weight of the delay that the streams already there suffer.
    """

    skip: float = 6.0
    others: float = 1.0

    def choose(self, world: Simulation, request: Request) -> Machine | None:
        best = max(m.speed / m.slowdown for m in world.machines)
        free = [
            m
            for m in world.machines
            if len(m.calls) < m.slots
            and m.id not in request.tried
            and not m.failing
            and (not self.skip or m.speed / m.slowdown * self.skip >= best)
        ]
        size = work(request.arrival)
        return min(free, key=lambda m: self._cost(world, m, size), default=None)

    def _cost(self, world: Simulation, machine: Machine, size: float) -> float:
        machine.advance(world.now)
        left = sorted(call.last_mark - machine.clock for call in machine.calls)
        alone = TOKEN_SECONDS * machine.slowdown / machine.speed
        seconds, clock, hurt = 0.0, 0.0, 0.0
        for place, mark in enumerate(left):
            streams = len(left) - place
            span = min(mark, size) - clock
            seconds += span * alone * (1 + (streams + 1) / BATCH)
            hurt += span * alone * streams / BATCH
            clock += span
            if mark >= size:
                return seconds + self.others * hurt
        return seconds + (size - clock) * alone * (1 + 1 / BATCH) + self.others * hurt
