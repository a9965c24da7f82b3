"""Figures of one run: waits, shares between levels, slots in use, promises kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from benchmarks.load import percentile
from benchmarks.scheduling import ideal, plan
from benchmarks.scheduling.plan import FLOORS, SLOTS, Scenario
from benchmarks.scheduling.records import Promise, Record, Run
from scheduling.levels import LEVELS
from scheduling.policies.waiting import WINDOW_SECONDS

LEAST_PROMISE_SECONDS = 5.0
"""Of a shorter real wait, compressed like everything, no promise need be good."""
LEARNING_SECONDS = 2.0 * WINDOW_SECONDS
"""Rates are counted over a window of real seconds, which is not compressed: from an idle start they
are known after two of them. In real time a limit is many windows long; here low's is three."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The queue between two events.

    `picked` is the level that the endpoint got at `at`, None when something else happened then;
    `waiting` (by level) and `busy` are what was so until `at`, since `since`.
    """

    since: float
    at: float
    picked: str | None
    waiting: dict[str, int]
    busy: int

    @property
    def seconds(self) -> float:
        return self.at - self.since


def moments(run: Run) -> Iterator[Moment]:
    """A run, event by event, until the last arrival; what was refused never was there."""
    end = run.scenario.seconds if run.stopped is None else run.stopped
    events: list[tuple[float, str, str]] = []
    for record in run.records:
        if not record.accepted or record.sent is None:
            continue
        level = record.request.level
        events.append((record.sent, "sent", level))
        if record.began is not None:
            events.append((record.began, "began", level))
        if record.ended is not None:
            events.append((record.ended, "ended", level))
    waiting, busy, since = dict.fromkeys(LEVELS, 0), 0, 0.0
    for at, kind, level in sorted(events):
        if at > end:
            return
        picked = level if kind == "began" else None
        yield Moment(since, at, picked, dict(waiting), busy)
        since = at
        if kind == "sent":
            waiting[level] += 1
        elif kind == "began":
            waiting[level] -= 1
            busy += 1
        else:
            busy -= 1


def slot_use(run: Run) -> float | None:
    """Busy slots, of all, while a round or more waits (as many requests as there are slots)."""
    busy = backlogged = 0.0
    for moment in moments(run):
        if sum(moment.waiting.values()) >= SLOTS:
            busy += moment.busy * moment.seconds
            backlogged += moment.seconds
    return busy / (SLOTS * backlogged) if backlogged else None


def share(run: Run, level: str) -> float | None:
    """A level's part of the picks made while it and some better level waited."""
    better = LEVELS[: LEVELS.index(level)]
    own = contested = 0
    for moment in moments(run):
        if moment.picked is None or not moment.waiting[level]:
            continue
        if any(moment.waiting[other] for other in better):
            contested += 1
            own += moment.picked == level
    return own / contested if contested >= 5 / FLOORS[level] else None


def wait_at(run: Run, level: str, part: float) -> float | None:
    waits = run.waits(run.at_level(level))
    return percentile(waits, part) if waits else None


def sustained(run: Run, level: str, *, learnt: bool = True) -> list[Record]:
    """Requests so early that arrivals still came while they could wait.

    By the level's limit and not by what they waited, which would choose the lucky ones: when
    arrivals end, what is left of a queue goes sooner than anybody could promise.

    Args:
        learnt: leave out those sent before the estimates had seen the load, too.
    """
    limit = run.scenario.compression.limits[level]
    first, last = LEARNING_SECONDS if learnt else 0.0, run.scenario.seconds - limit
    return [record for record in run.at_level(level) if first <= record.request.at <= last]


def wait_by_limit(run: Run, level: str) -> float | None:
    """The admitted requests' p99 wait, by their level's limit."""
    waits = run.waits(sustained(run, level))
    limit = run.scenario.compression.limits[level]
    return percentile(waits, 0.99) / limit if len(waits) >= 20 else None


def refused_share(run: Run, level: str) -> float:
    records = run.at_level(level)
    return sum(record.refused for record in records) / max(1, len(records))


def promise_errors(
    runs: Iterable[Run], way: str | None = None, *, learnt: bool = True
) -> list[float]:
    """How far off each promise was: the larger of foretold and true by the smaller.

    Both count as no less than `LEAST_PROMISE_SECONDS` (compressed), and a pair that is below it
    is left out: nobody minds .1 s against .01 s.
    """
    errors = []
    for run in runs:
        least = LEAST_PROMISE_SECONDS / run.scenario.compression.times
        for record, promise in _promises(run, way, learnt):
            assert record.began is not None
            foretold, true = promise.seconds, record.began - promise.at
            if max(foretold, true) >= least:
                foretold, true = max(foretold, least), max(true, least)
                errors.append(max(foretold / true, true / foretold))
    return errors


def _promises(run: Run, way: str | None, learnt: bool) -> Iterator[tuple[Record, Promise]]:
    for level in LEVELS:
        for record in sustained(run, level, learnt=learnt):
            for promise in record.promises:
                if record.began is not None and way in (None, promise.way):
                    yield record, promise


def victims(scenario: Scenario) -> list[str]:
    """Flows within their fair share whom perfect fairness would not hurt.

    A flow may burst far above its share for a while, and waits for itself then.
    """
    perfect = ideal.waits(scenario.requests, ideal.Counters(), slots=SLOTS)
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for request in scenario.requests:
        waits[request.flow].append(perfect[request.number])
    within = plan.victims(scenario.requests, scenario.load)
    hurt = scenario.compression.hurt_seconds
    return [flow for flow in within if percentile(waits[flow], 0.99) <= hurt]


def victim_waits(run: Run, *, learnt: bool = True) -> list[float]:
    """
    Args:
        learnt: leave out what was sent before the flows' answers were known, from which their next
            ones are estimated; a run so short has none.
    """
    names = set(victims(run.scenario))
    return run.waits(each for each in _after(run, learnt) if each.request.flow in names)


def victims_hurt(run: Run, *, learnt: bool = True) -> float | None:
    """Part of them whose p99 wait is above 30 s, compressed."""
    names = set(victims(run.scenario))
    waits: defaultdict[str, list[float]] = defaultdict(list)
    for record in _after(run, learnt):
        if record.request.flow in names and (wait := run.wait(record)) is not None:
            waits[record.request.flow].append(wait)
    limit = run.scenario.compression.hurt_seconds
    hurt = [percentile(each, 0.99) > limit for each in waits.values()]
    return sum(hurt) / len(hurt) if hurt else None


def perfect_victim_waits(scenario: Scenario, *, learnt: bool = True) -> list[float]:
    """The same requests' by ideal token counters."""
    perfect = ideal.waits(scenario.requests, ideal.Counters(), slots=SLOTS)
    names, first = set(victims(scenario)), LEARNING_SECONDS if learnt else 0.0
    return [
        perfect[each.number]
        for each in scenario.requests
        if each.flow in names and each.at >= first
    ]


def _after(run: Run, learnt: bool) -> Iterator[Record]:
    first = LEARNING_SECONDS if learnt else 0.0
    return (record for record in run.records if record.request.at >= first)


def over_time(
    run: Run, level: str, *, bin_seconds: float = 1.0
) -> list[tuple[float, float | None]]:
    """Median wait of what was sent in each second."""
    pairs = [
        (int(record.request.at / bin_seconds), wait)
        for record in run.at_level(level)
        if (wait := run.wait(record)) is not None
    ]
    return [
        ((place + 0.5) * bin_seconds, median(wait for _, wait in group))
        for place, group in groupby(sorted(pairs), key=lambda pair: pair[0])
    ]
