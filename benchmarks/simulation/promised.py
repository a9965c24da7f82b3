"""The queues whose promises are kept or broken: which arrivals meet which slots, at which speed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.simulation.jobs import Speed
from benchmarks.traces import MIX, Arrival
from scheduling.policies.durations import Durations

Arrivals = Callable[[random.Random], Iterator[Arrival]]
# Mean seconds of a job, and the spread of their logarithm.
Law = tuple[float, float]
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
    law: Law = (6.0, 0.8)


def tokens(rng: random.Random, mean_seconds: float, spread: float) -> int:
    """Tokens of an answer of so many seconds in the mean, by a log-normal law."""
    factor = rng.lognormvariate(-spread * spread / 2, spread)
    return max(1, round(mean_seconds * SPEED.written_per_second * factor))


def named(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}-{n}" for n in range(count))


TWENTY = named("tenant", 20)


def steady(
    load: Callable[[float], float],
    *,
    slots: int,
    jobs: int,
    law: Law = (6.0, 0.8),
    flows: Sequence[str] = TWENTY,
    weights: Sequence[float] = (),
    level: Callable[[random.Random], str] = lambda _: "normal",
) -> Arrivals:
    """Poisson arrivals of jobs of one kind; `load` is what is offered, by what `slots` can do."""

    def made(rng: random.Random) -> Iterator[Arrival]:
        at = 0.0
        for _ in range(jobs):
            at += rng.expovariate(load(at) * slots / law[0])
            flow = rng.choices(flows, weights or [1.0] * len(flows))[0]
            output = tokens(rng, *law)
            yield Arrival(at, 100, output, flow, level(rng))

    return made


def behind(*, busy: int, after: int, gap: float, law: Law, rest: float = 120.0) -> Arrivals:
    """Again and again so many jobs at once, more behind them a little later, then nothing."""

    def made(rng: random.Random) -> Iterator[Arrival]:
        at, number = 0.0, 0
        for _ in range(80):
            for when, jobs in ((at, busy), (at + gap * rng.uniform(0.2, 1.0), after)):
                for _ in range(jobs):
                    number += 1
                    output = tokens(rng, *law)
                    yield Arrival(when, 100, output, f"tenant-{number % 7}")
            at += rest + law[0] * (busy + after)

    return made


def mixed(
    load: float, *, short: Sequence[str], long: Sequence[str], slots: int = 4, jobs: int = 6000
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


def stepped(*steps: tuple[float, float]) -> Callable[[float], float]:
    """A figure that changes at moments: (from when, how much), the first from 0."""

    def at(now: float) -> float:
        return [value for since, value in steps if since <= now][-1]

    return at


def constantly(load: float) -> Callable[[float], float]:
    return lambda _: load


def constant(slots: int) -> Callable[[float], int]:
    return lambda _: slots


NOISY = (*named("quiet", 9), "noisy")
CHANGE = 600.0


def law_for(mean_seconds: float, spread: float, *, long: float = 0.0) -> Durations:
    rng = random.Random(3)
    drawn = [tokens(rng, mean_seconds, spread) / SPEED.written_per_second for _ in range(2000)]
    drawn += [60.0 * rng.lognormvariate(-0.02, 0.2) for _ in range(round(long * 2000))]
    return Durations._of(drawn, [0.0] * len(drawn))


LAWS = {
    "fast/a": law_for(1, 0.2),
    "slow/b": law_for(60, 0.2),
    "short": law_for(1, 0.2),
    "long": law_for(60, 0.2),
    "any": law_for(1, 0.2, long=1 / 60),
}


def scenarios() -> list[Promised]:
    return [*few_slots(), *steady_loads(), *mixed_lengths(), *changes(), *shares()]


def few_slots() -> list[Promised]:
    four = constant(4)
    alike = (10.0, 0.2)
    any_length = behind(busy=4, after=5, gap=8, law=(10, 0.8))
    batch = behind(busy=64, after=20, gap=20, law=(30, 0.1))
    return [
        Promised("5 behind 4 busy", behind(busy=4, after=5, gap=8, law=alike), four, law=alike),
        Promised("5 behind 4 busy, any length", any_length, four, law=(10, 0.8)),
        Promised("9 at once, 4 slots", behind(busy=9, after=0, gap=0, law=alike), four, law=alike),
        Promised(
            "1 slot, 3 behind", behind(busy=1, after=3, gap=8, law=alike), constant(1), law=alike
        ),
        Promised("64 at once, 64 slots, 20 behind", batch, constant(64), law=(30, 0.1)),
    ]


def steady_loads() -> list[Promised]:
    eight = constant(8)
    return [
        Promised("95 %", steady(lambda _: 0.95, slots=8, jobs=3000), eight),
        Promised("130 %", steady(lambda _: 1.3, slots=8, jobs=3000), eight),
        Promised("95 %, 32 slots", steady(lambda _: 0.95, slots=32, jobs=6000), constant(32)),
    ]


def mixed_lengths() -> list[Promised]:
    def of(name: str, load: float, short: str, long: str) -> Promised:
        return Promised(name, mixed(load, short=named(short, 5), long=named(long, 3)), constant(4))

    return [
        of("two models, 1 s and 60 s, 95 %", 0.95, "fast/a", "slow/b"),
        of("two models, 1 s and 60 s, 130 %", 1.3, "fast/a", "slow/b"),
        of("flows of 1 s and 60 s, 95 %", 0.95, "short", "long"),
        of("any flow 1 s or 60 s, 95 %", 0.95, "any", "any"),
    ]


def changes() -> list[Promised]:
    def of(
        name: str,
        load: Callable[[float], float],
        *,
        slots: Callable[[float], float] = lambda _: 8,
        slowness: Callable[[float], float] = lambda _: 1.0,
        jobs: int = 2000,
        law: Law = (6.0, 0.8),
    ) -> Promised:
        most = int(slots(0.0))
        arrivals = steady(load, slots=most, jobs=jobs, law=law)
        return Promised(
            name, arrivals, lambda now: int(slots(now)), slowness, CHANGE, CHANGE + 180.0, law=law
        )

    doubles, halves = stepped((0, 1), (CHANGE, 2)), stepped((0, 1), (CHANGE, 0.5))
    burst = stepped((0, 0.6), (CHANGE, 1.5), (CHANGE + 120, 0.6))
    return [
        of("service doubles", lambda _: 0.8, slowness=doubles),
        of("service halves", stepped((0, 1.2), (CHANGE, 1.4)), slowness=halves),
        of("rate steps 60 % to 150 %", burst),
        of("slots halve", lambda _: 0.9, slots=stepped((0, 8), (CHANGE, 4))),
        of("slots double", stepped((0, 1.2), (CHANGE, 2.0)), slots=stepped((0, 8), (CHANGE, 16))),
        of(
            "20 s jobs on 4 slots, service doubles",
            lambda _: 0.9,
            slots=lambda _: 4,
            slowness=doubles,
            jobs=600,
            law=(20.0, 0.3),
        ),
    ]


def shares() -> list[Promised]:
    eight = constant(8)
    flood = steady(lambda _: 1.3, slots=8, jobs=3000, flows=NOISY, weights=[*[4 / 90] * 9, 0.6])
    levels = [
        Promised(
            f"all levels, {load:.0%}",
            steady(constantly(load), slots=8, jobs=4000, level=any_level),
            eight,
        )
        for load in (0.95, 1.3)
    ]
    return [*levels, Promised("one of ten floods, 130 %", flood, eight)]
