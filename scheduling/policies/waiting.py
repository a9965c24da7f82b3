"""How long until a request starts? The one estimate, for clients, admission and autoscalers.

A model set is the models that share endpoints, and so wait for the same slots. The estimate treats
its work as a fluid: work leaves at one rate, higher levels first, and every level that has work
gets its floor.

    rate    jobs that leave in a second: those that run, divided by how long a job takes, or those
            that were counted
    above   work of higher levels; while there is any, a level gets its floor
    ahead   work of the same level that fairness puts before the request
    after   the rate of a level once the work above is gone: the whole rate, less what arrives at
            higher levels, less the floors of lower levels that have work

Clients are told the expected wait. Admission decides by a careful wait: it gives a horizon, and the
estimate takes the rate that is left when chance goes against the level for that long.

Work is counted in jobs by size: a job of the set's mean service time has size 1. A request starts
with the slot that frees after all work before it has started, and at once while a slot is free.

Near the head of the queue a rate is not enough: it matters for how long the running jobs have run.
There the rehearsal says when the slots free (`rehearsal.py`). The fluid says how much work starts
before a request, and the rehearsal when so much has started.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scheduling.policies.rehearsal import Starts

# What rates are counted over.
WINDOW_SECONDS = 15
# Standard deviations of the jobs that end and arrive. A level can count on the rate that is left
# when it goes against it by so much.
CAUTION = 3.0
# A level is taken to get at least this share of the whole rate, whatever is promised to others.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class LevelLoad:
    """One level of a model set.

    Attributes:
        queued: work that waits, in jobs by size.
        finished_per_second: jobs that ended.
        arriving_per_second: jobs that arrived, bursts left out.
        most_running: the level's own limit of slots; 0 is none.
        running: its jobs that run.
    """

    queued: float = 0.0
    finished_per_second: float = 0.0
    arriving_per_second: float = 0.0
    most_running: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class ModelSetLoad:
    """Models that share endpoints, and what waits for them; levels come highest first.

    Attributes:
        service_seconds: mean time a job runs; 0 when none has ended yet.
        standing: whether work has waited for a while. Until then free slots count as filled,
            because they are about to be. After that the rate is that of the jobs that run.
    """

    levels: tuple[LevelLoad, ...]
    slots: int = 0
    processing: int = 0
    service_seconds: float = 0.0
    standing: bool = False


def total_rate(load: ModelSetLoad) -> float | None:
    """Jobs a second that leave the set while work waits; None when nothing is known yet.

    Running jobs divided by how long a job takes. The counted rate is used where it is clearly
    higher, by more than its standard deviation: after a pause the count is still low, and a count
    of a few jobs says little.
    """
    counted = sum(level.finished_per_second for level in load.levels)
    if load.service_seconds <= 0:
        return counted or None
    sure = counted - math.sqrt(counted / WINDOW_SECONDS)
    return max(sure, max(1, slots_that_work(load)) / load.service_seconds)


def slots_that_work(load: ModelSetLoad) -> int:
    """The slots that will be taken while work waits."""
    return min(load.processing, load.slots) if load.standing else load.slots


def free_slots(load: ModelSetLoad, level: int) -> int:
    """Slots that a job of this level finds free; none while work waits although some look free."""
    if load.standing:
        return 0
    free, own = load.slots - load.processing, load.levels[level]
    return max(0, min(free, own.most_running - own.running) if own.most_running else free)


def level_rate(
    load: ModelSetLoad, level: int, floors: Sequence[float], *, horizon_seconds: float | None = None
) -> float | None:
    """Jobs a second that a level can expect while it has work and no higher level has any.

    Args:
        horizon_seconds: with it, the rate on which the level can count for that long. By chance
            higher levels may take more, and fewer jobs may end; both vary like counts of events.
            The highest level gets its mean rate: its horizon is a few seconds, in which chance
            outweighs any caution.
    """
    rate = total_rate(load)
    if rate is None:
        return None
    higher = _arriving_above(load, level)
    left = rate * (1 - _owed(load, level, floors)) - higher
    if horizon_seconds is not None and level:
        left -= CAUTION * math.sqrt((rate + higher) / horizon_seconds)
    left = max(left, _sure(rate, level, horizon_seconds) * floors[level], rate * _LEAST_SHARE)
    return min(left, _own_most(load, level, left))


def seconds_to_start(
    load: ModelSetLoad,
    level: int,
    *,
    work: float,
    floors: Sequence[float],
    horizon_seconds: float | None = None,
) -> float | None:
    """How long until so much work of a level has started; None when nothing is known yet."""
    rate, expected = total_rate(load), level_rate(load, level, floors)
    after = level_rate(load, level, floors, horizon_seconds=horizon_seconds)
    if rate is None or expected is None or after is None:
        return None
    floor = min(_sure(rate, level, horizon_seconds) * floors[level], after)
    above = sum(each.queued for each in load.levels[:level])
    taken = min(rate * floors[level], expected) + _arriving_above(load, level)
    left_to_higher = rate * (1 - _owed(load, level, floors)) - taken
    busy_above = above / max(left_to_higher, rate * _LEAST_SHARE)
    if 0 < work <= floor * busy_above:
        return work / floor
    return busy_above + (work - floor * busy_above) / after


def wait_seconds(
    load: ModelSetLoad,
    level: int,
    *,
    ahead: float,
    floors: Sequence[float],
    horizon_seconds: float | None = None,
    starts: Callable[[], Starts | None] | None = None,
) -> float | None:
    """How long until a request starts.

    Args:
        level: its place among `load.levels`.
        ahead: work of its level before it, in jobs by size.
        floors: each level's assured share of picks, highest level first.
        horizon_seconds: as in `level_rate`; without it the wait is the expected one.
        starts: when the next slots free, where that is known.

    Returns:
        Seconds; 0 while a slot is free for the request; None when nothing is known yet.
    """
    before = ahead + sum(each.queued for each in load.levels[:level])
    free = free_slots(load, level)
    if before < min(free, 1 if starts else free):
        return 0.0
    seconds = seconds_to_start(
        load, level, work=ahead + 1, floors=floors, horizon_seconds=horizon_seconds
    )
    rate, known = total_rate(load), starts() if starts else None
    if seconds is None or rate is None or known is None or _has_own_most(load, level):
        return seconds
    return known.after(max(0.0, seconds * rate - 1), rate)


def _arriving_above(load: ModelSetLoad, level: int) -> float:
    """Jobs a second that higher levels take."""
    return sum(each.arriving_per_second for each in load.levels[:level])


def _sure(rate: float, level: int, horizon_seconds: float | None) -> float:
    """The part of the whole rate on which a level can count for so long."""
    if horizon_seconds is None or not level:
        return rate
    return max(rate / 2, rate - CAUTION * math.sqrt(rate / horizon_seconds))


def _owed(load: ModelSetLoad, level: int, floors: Sequence[float]) -> float:
    """The share of picks that the floors of lower levels with work assure them."""
    lower = zip(load.levels[level + 1 :], floors[level + 1 :], strict=True)
    return sum(floor for each, floor in lower if each.queued)


def _has_own_most(load: ModelSetLoad, level: int) -> bool:
    return 0 < load.levels[level].most_running < load.slots


def _own_most(load: ModelSetLoad, level: int, otherwise: float) -> float:
    most = load.levels[level].most_running
    return most / load.service_seconds if most and load.service_seconds > 0 else otherwise
