"""What does a learned limit cost or gain? `make bench-limits`.

First in virtual time, against fixed limits with the same arrivals and delays; then, with `--real`,
on real PostgreSQL, Valkey, web and workers before a server of the same curves.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from benchmarks import report
from benchmarks.balancing import crowding, limits_real
from benchmarks.balancing.crowding import KNEE, SLOTS, Curve, Fixed, Load, Tried, World
from benchmarks.report import Row

MINUTES = 5
NEVER_COSTS, FINDS = ">= 0.97", ">= 0.9"


def always(per_second: float) -> Callable[[float], float]:
    return lambda _: per_second


def on_off(per_second: float, on: float, off: float) -> Callable[[float], float]:
    return lambda now: per_second if now % (on + off) < on else 0.0


LONG = (50, 800)
LOADS = {
    "flood": Load(always(1000)),
    "80/s": Load(always(80)),
    "90 s on, 60 off": Load(on_off(1000, 90, 60)),
    "20 s on, 20 off": Load(on_off(1000, 20, 20)),
    "6 s on, 3 off": Load(on_off(1000, 6, 3)),
    "long prompts": Load(always(1000), prompt=60),
    "long answers": Load(always(100), tokens=LONG),
}
SEEDS = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A curve under a load; `best` is the fixed limit beside it, goals count after `skipped`."""

    curve: str
    load: str
    stalls: float
    best: int = SLOTS
    skipped: int = 0
    goal: str | None = NEVER_COSTS

    @property
    def name(self) -> str:
        delayed = f", worker held up {self.stalls:.0%}" if self.stalls else ""
        after = f" after {60 * self.skipped} s" if self.skipped else ""
        return f"{self.curve}, {self.load}{delayed}: least of minutes{after} / fixed {self.best}"

    def worst(self) -> float:
        """The least ratio of tokens in a minute, over the seeds."""
        return min(ratio for seed in SEEDS for ratio in self._ratios(seed))

    def _ratios(self, seed: int) -> Sequence[float]:
        pairs = zip(self._run(Tried(SLOTS), seed), self._run(Fixed(self.best), seed), strict=True)
        return [learned / fixed for learned, fixed in pairs][self.skipped :]

    def _run(self, rule: crowding.Rule, seed: int) -> list[int]:
        curve: Curve = getattr(crowding, self.curve)
        load = LOADS[self.load]
        world = World(rule, lambda _: curve, load, 60.0 * MINUTES, stalls=self.stalls, seed=seed)
        return world.run().minutes()


def scenarios() -> list[Scenario]:
    """Held up for a third of the time, another limit than the knee may be best: no goal then."""
    gains = [
        Scenario(curve, load, stalls)
        for curve in ("flat", "batching")
        for load in LOADS
        for stalls in (0.0, 0.3)
    ]
    falls = [
        Scenario(curve, "flood", stalls, KNEE, 1, None if stalls else FINDS)
        for curve in ("kneed", "steep")
        for stalls in (0.0, 0.3)
    ]
    return gains + falls


def main() -> int:
    options = _parser().parse_args()
    began = time.monotonic()
    found = scenarios()
    rows = []
    with ProcessPoolExecutor(options.processes) as executor:
        for scenario, worst in zip(found, executor.map(Scenario.worst, found), strict=True):
            rows.append(Row(scenario.name, worst, "", scenario.goal))
            print(f"[{len(rows):2}/{len(found)}] {scenario.name}: {worst:.3f}", flush=True)
    if options.real:
        rows += limits_real.rows()
    title = f"Learned limits, in {time.monotonic() - began:.0f} s"
    report.publish("limits", rows, title=title)
    return 1 if report.missed(rows) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-limits", description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="scenarios that run at once")
    parser.add_argument("--real", action="store_true", help="then on a real stack")
    return parser


if __name__ == "__main__":
    sys.exit(main())
