"""Told against waited: `python -m benchmarks.simulation.promises`, or `make bench-promises`.

Each scenario submits jobs to the product's queue in virtual time, notes what each job is told, and
compares it with what came. A wait above a second should be told within a factor of 2, nine times of
ten; a position should be the place among those that wait. Chance can make that impossible: `best`
is the share within a factor of 2 of a teller who knows the order, the ages and the law of the
lengths exactly, and nothing of the future.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "llmqueue_project.settings_without_database")
django.setup()

from benchmarks.simulation.doors import Admitting  # noqa: E402
from benchmarks.simulation.fair_tags import FairTags  # noqa: E402
from benchmarks.simulation.jobs import Job, Speed  # noqa: E402
from benchmarks.simulation.measures import WORTH_ESTIMATING_SECONDS, Meter  # noqa: E402
from benchmarks.simulation.policies import configured  # noqa: E402
from benchmarks.simulation.queues import Levels  # noqa: E402
from benchmarks.simulation.replay import Replay  # noqa: E402
from benchmarks.simulation.scenarios import TURNAROUND_SECONDS  # noqa: E402
from benchmarks.traces import MIX, Arrival  # noqa: E402
from scheduling.levels import LEVELS  # noqa: E402
from scheduling.policies.durations import Durations  # noqa: E402
from scheduling.policies.rehearsal import Running, Waiting, rehearse  # noqa: E402

FACTOR = 2.0
Arrivals = Callable[[random.Random], Iterator[Arrival]]
SPEED = Speed()


@dataclass(frozen=True, slots=True)
class Promised:
    """A scenario.

    Attributes:
        slots, slowness: at a moment; jobs that start then take so many times as long.
        since: jobs submitted earlier do not count.
    """

    name: str
    arrivals: Arrivals
    slots: Callable[[float], int]
    slowness: Callable[[float], float] = lambda _: 1.0
    since: float = 0.0
    until: float = float("inf")
    seed: int = 1
    mean_seconds: float = 6.0
    spread: float = 0.8


@dataclass(slots=True)
class Figures:
    """What was told of the waits above a second."""

    factors: list[float] = field(default_factory=list)
    unknown: int = 0
    positions: int = 0
    right_positions: int = 0
    low_positions: int = 0
    nothing: int = 0
    best: list[float] = field(default_factory=list)

    def share_within(self, factors: Sequence[float]) -> float:
        inside = sum(1 / FACTOR <= each <= FACTOR for each in factors)
        return inside / len(factors) if factors else 0.0

    def median(self) -> float | None:
        return sorted(self.factors)[len(self.factors) // 2] if self.factors else None


class Watching(Meter):
    """Compares what each job was told with what came."""

    def __init__(self, scenario: Promised) -> None:
        super().__init__()
        self.figures = Figures()
        self._scenario = scenario

    def starts(self, job: Job) -> None:
        super().starts(job)
        if not self._scenario.since <= job.submitted_at <= self._scenario.until:
            return
        if job.place:
            self.figures.positions += 1
            self.figures.right_positions += job.told_position == job.place
            self.figures.low_positions += job.told_position < job.place
        if job.wait_seconds < WORTH_ESTIMATING_SECONDS:
            return
        if job.told_wait is None:
            self.figures.unknown += 1
        else:
            self.figures.nothing += job.told_wait == 0
            self.figures.factors.append(max(job.told_wait, 0.001) / job.wait_seconds)
        self.figures.best.append(max(job.best_wait, 0.001) / job.wait_seconds)


class Changing(Replay):
    """A replay whose slots and speed change on the way."""

    def __init__(self, scenario: Promised, queue: Levels, door: Admitting, meter: Meter) -> None:
        super().__init__(
            scenario.arrivals(random.Random(scenario.seed)),
            slots=scenario.slots(0.0),
            service_seconds=SPEED.service_seconds,
            queue=queue,
            door=door,
            observer=meter,
            turnaround_seconds=TURNAROUND_SECONDS,
        )
        self._scenario, self._levels, self._known = scenario, queue, scenario.slots(0.0)
        self._rng = random.Random(2)
        LAWS["plain"] = law(scenario.mean_seconds, scenario.spread)

    def _submit(self, job: Job) -> None:
        super()._submit(job)
        order = self._levels.orders[job.level]
        if isinstance(order, FairTags):
            tags = [(tag, number) for tag, number, _ in order.waiting]
            mine = (job.tag, job.number)
            job.place = tags.index(mine) + 1 if mine in tags else 0
            if job.place:
                job.best_wait = self._best(job)

    def _best(self, job: Job) -> float:
        """The middle wait by the true law of the lengths, were no other job to come."""
        running = [
            Running(LAWS[law_of(each)], 0.0, (self.now - each.started_at) / self._slowness())
            for _, _, _, each in self._events
            if each is not None
        ]
        ahead = [
            Waiting(LAWS[law_of(each)], 0.0, LAWS[law_of(each)].seconds)
            for level in LEVELS[: LEVELS.index(job.level) + 1]
            for _, _, each in self._levels.orders[level].waiting  # type: ignore[attr-defined]
            if level != job.level or (each.tag, each.number) <= (job.tag, job.number)
        ]
        slots = self._scenario.slots(self.now)
        known = rehearse(
            running, ahead, [Waiting(LAWS["plain"], 0.0, 1.0)], slots=slots, rng=self._rng
        )
        before = sum(each.size for each in ahead[:-1])
        return known.after(before, slots) * self._slowness()

    def _slowness(self) -> float:
        return self._scenario.slowness(self.now)

    def _fill(self) -> None:
        slots = self._scenario.slots(self.now)
        self._free.extend(range(self._known, slots))
        self._known = max(self._known, slots)
        if slots < self._known:
            kept = [slot for slot in self._free if slot < slots]
            self._free.clear()
            self._free.extend(kept)
        super()._fill()

    def _start(self, job: Job, slot: int) -> None:
        job.service_seconds *= self._scenario.slowness(self.now)
        super()._start(job, slot)


def law(mean_seconds: float, spread: float, *, long: float = 0.0) -> Durations:
    rng = random.Random(3)
    drawn = [tokens(rng, mean_seconds, spread) / SPEED.written_per_second for _ in range(2000)]
    drawn += [60.0 * rng.lognormvariate(-0.02, 0.2) for _ in range(round(long * 2000))]
    return Durations._of(drawn, [0.0] * len(drawn))


def law_of(job: Job) -> str:
    return job.flow.partition("-")[0] if job.flow.partition("-")[0] in LAWS else "plain"


def run(scenario: Promised) -> Figures:
    queue = configured()
    door = Admitting(queue, slots=scenario.slots)
    meter = Watching(scenario)
    Changing(scenario, queue, door, meter).run()
    return meter.figures


# ---- arrivals --------------------------------------------------------------------------------


def tokens(rng: random.Random, mean_seconds: float, spread: float) -> int:
    """Tokens of an answer of so many seconds in the mean, by a log-normal law."""
    factor = rng.lognormvariate(-spread * spread / 2, spread)
    return max(1, round(mean_seconds * SPEED.written_per_second * factor))


def steady(
    load: Callable[[float], float],
    *,
    slots: int,
    jobs: int,
    mean_seconds: float = 6.0,
    spread: float = 0.8,
    flows: Sequence[str] = tuple(f"tenant-{n}" for n in range(20)),
    weights: Sequence[float] = (),
    level: Callable[[random.Random], str] = lambda _: "normal",
) -> Arrivals:
    """Poisson arrivals of jobs of one kind; `load` is what is offered, by what `slots` can do."""

    def made(rng: random.Random) -> Iterator[Arrival]:
        at = 0.0
        for _ in range(jobs):
            at += rng.expovariate(load(at) * slots / mean_seconds)
            flow = rng.choices(flows, weights or [1.0] * len(flows))[0]
            output = tokens(rng, mean_seconds, spread)
            yield Arrival(at, 100, output, flow, level(rng))

    return made


def behind(
    *, busy: int, after: int, gap: float, mean_seconds: float, spread: float, rest: float = 120.0
) -> Arrivals:
    """Again and again so many jobs at once, more behind them a little later, then nothing."""

    def made(rng: random.Random) -> Iterator[Arrival]:
        at, number = 0.0, 0
        for _ in range(80):
            for when, jobs in ((at, busy), (at + gap * rng.uniform(0.2, 1.0), after)):
                for _ in range(jobs):
                    number += 1
                    output = tokens(rng, mean_seconds, spread)
                    yield Arrival(when, 100, output, f"tenant-{number % 7}")
            at += rest + mean_seconds * (busy + after)

    return made


def mixed(
    load: float, *, slots: int, jobs: int, short: tuple[str, ...], long: tuple[str, ...]
) -> Arrivals:
    """Jobs of a second and of a minute, which take half of the time each."""
    mean = 2 * 60.0 / 61.0

    def made(rng: random.Random) -> Iterator[Arrival]:
        at = 0.0
        for _ in range(jobs):
            at += rng.expovariate(load * slots / mean)
            is_long = rng.random() < 1 / 61
            output = tokens(rng, 60.0 if is_long else 1.0, 0.2)
            yield Arrival(at, 100, output, rng.choice(long if is_long else short))

    return made


def any_level(rng: random.Random) -> str:
    return rng.choices(list(MIX), list(MIX.values()))[0]


def named(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}-{n}" for n in range(count))


def stepped(*steps: tuple[float, float]) -> Callable[[float], float]:
    """A figure that changes at moments: (from when, how much), the first from 0."""

    def at(now: float) -> float:
        return [value for since, value in steps if since <= now][-1]

    return at


def constant(slots: int) -> Callable[[float], int]:
    return lambda _: slots


NOISY = (*named("quiet", 9), "noisy")
CHANGE = 600.0


LAWS = {
    "fast/a": law(1, 0.2),
    "slow/b": law(60, 0.2),
    "short": law(1, 0.2),
    "long": law(60, 0.2),
    "any": law(1, 0.2, long=1 / 60),
}


def scenarios() -> list[Promised]:
    four, eight = constant(4), constant(8)
    after: dict[str, float] = {"since": CHANGE, "until": CHANGE + 180.0}
    return [
        Promised(
            "5 behind 4 busy",
            behind(busy=4, after=5, gap=8, mean_seconds=10, spread=0.2),
            four,
            mean_seconds=10,
            spread=0.2,
        ),
        Promised(
            "5 behind 4 busy, any length",
            behind(busy=4, after=5, gap=8, mean_seconds=10, spread=0.8),
            four,
            mean_seconds=10,
        ),
        Promised(
            "9 at once, 4 slots",
            behind(busy=9, after=0, gap=0, mean_seconds=10, spread=0.2),
            four,
            mean_seconds=10,
            spread=0.2,
        ),
        Promised(
            "1 slot, 3 behind",
            behind(busy=1, after=3, gap=8, mean_seconds=10, spread=0.3),
            constant(1),
            mean_seconds=10,
            spread=0.3,
        ),
        Promised(
            "64 at once, 64 slots, 20 behind",
            behind(busy=64, after=20, gap=20, mean_seconds=30, spread=0.1),
            constant(64),
            mean_seconds=30,
            spread=0.1,
        ),
        Promised("95 %", steady(lambda _: 0.95, slots=8, jobs=3000), eight),
        Promised("130 %", steady(lambda _: 1.3, slots=8, jobs=3000), eight),
        Promised("95 %, 32 slots", steady(lambda _: 0.95, slots=32, jobs=6000), constant(32)),
        Promised(
            "two models, 1 s and 60 s, 95 %",
            mixed(0.95, slots=4, jobs=6000, short=named("fast/a", 5), long=named("slow/b", 3)),
            four,
        ),
        Promised(
            "two models, 1 s and 60 s, 130 %",
            mixed(1.3, slots=4, jobs=6000, short=named("fast/a", 5), long=named("slow/b", 3)),
            four,
        ),
        Promised(
            "flows of 1 s and 60 s, 95 %",
            mixed(0.95, slots=4, jobs=6000, short=named("short", 5), long=named("long", 3)),
            four,
        ),
        Promised(
            "any flow 1 s or 60 s, 95 %",
            mixed(0.95, slots=4, jobs=6000, short=named("any", 5), long=named("any", 5)),
            four,
        ),
        Promised(
            "service doubles",
            steady(stepped((0, 0.8)), slots=8, jobs=1500),
            eight,
            stepped((0, 1), (CHANGE, 2)),
            **after,
        ),
        Promised(
            "service halves",
            steady(stepped((0, 1.2), (CHANGE, 1.4)), slots=8, jobs=2000),
            eight,
            stepped((0, 1), (CHANGE, 0.5)),
            **after,
        ),
        Promised(
            "rate steps 60 % to 150 %",
            steady(stepped((0, 0.6), (CHANGE, 1.5), (CHANGE + 120, 0.6)), slots=8, jobs=1500),
            eight,
            **after,
        ),
        Promised(
            "slots halve",
            steady(stepped((0, 0.9)), slots=8, jobs=1500),
            lambda now: 8 if now < CHANGE else 4,
            **after,
        ),
        Promised(
            "slots double",
            steady(stepped((0, 1.2), (CHANGE, 2.0)), slots=8, jobs=2000),
            lambda now: 8 if now < CHANGE else 16,
            **after,
        ),
        Promised(
            "4 slots, 20 s jobs, service doubles",
            steady(stepped((0, 0.9)), slots=4, jobs=600, mean_seconds=20, spread=0.3),
            four,
            stepped((0, 1), (CHANGE, 2)),
            mean_seconds=20,
            spread=0.3,
            **after,
        ),
        Promised(
            "all levels, 95 %", steady(lambda _: 0.95, slots=8, jobs=4000, level=any_level), eight
        ),
        Promised(
            "all levels, 130 %", steady(lambda _: 1.3, slots=8, jobs=4000, level=any_level), eight
        ),
        Promised(
            "one of ten floods, 130 %",
            steady(lambda _: 1.3, slots=8, jobs=3000, flows=NOISY, weights=[*[4 / 90] * 9, 0.6]),
            eight,
        ),
    ]


def main() -> int:
    print(
        f"{'':38} {'waits':>6} {'no claim':>8} {'told 0':>7} {'within 2':>8} {'best':>6} {'median':>7} {'position':>8} {'too low':>8}"
    )
    for each in scenarios():
        if not any(name in each.name for name in sys.argv[1:] or [""]):
            continue
        found = run(each)
        print(
            f"{each.name:38} {len(found.factors) + found.unknown:6} {found.unknown:8}"
            f" {found.nothing:7} {found.share_within(found.factors):8.0%} {found.share_within(found.best):6.0%}"
            f" {found.median() or 0:7.2f}"
            f" {found.right_positions / max(1, found.positions):8.0%}"
            f" {found.low_positions / max(1, found.positions):8.1%}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
