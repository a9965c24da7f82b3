"""How long until a request starts? The one estimate, for clients, admission and autoscalers.

A pool is the models that share endpoints, and so wait for the same slots. It is taken for a fluid:
work leaves it at one rate, better levels first, and every level that has work gets its floor.

    rate    what runs by how long a job takes, or what was counted
    above   work of better levels: while there is some, a level gets its floor
    ahead   work of the same level that fairness puts before the request
    after   the above is gone, the level gets what better levels' arrivals and the floors of
            worse levels with work leave

What is told is the expected wait. Whoever decides by it gives a horizon and gets a careful one: by
the rate that is left when chance goes against the level for that long.

Work is counted in jobs by size: a job of the pool's mean service time is 1. A request starts with
the slot that frees after all that is before it, at once while a slot is free.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# What rates are counted over.
WINDOW_SECONDS = 15
# Standard deviations of what ends and comes: on what is left beyond them a level can count.
CAUTION = 3.0
# Of the whole rate: what a level is taken to get when everything else is promised to others.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class LevelLoad:
    """One level of a pool.

    Attributes:
        queued: work that waits, in jobs by size.
        finished_per_second: jobs that ended.
        arriving_per_second: jobs that came, bursts left out.
        most_running: the level's own limit of slots; 0 is none.
    """

    queued: float = 0.0
    finished_per_second: float = 0.0
    arriving_per_second: float = 0.0
    most_running: int = 0


@dataclass(frozen=True, slots=True)
class ModelSetLoad:
    """Models that share endpoints, and what waits for them; levels come highest first.

    Attributes:
        service_seconds: mean time a job runs; 0 when none has ended yet.
        standing: whether work has waited for a while. Until then free slots are about to be
            filled and count as if they were; after that, what really runs tells the rate.
    """

    levels: tuple[LevelLoad, ...]
    slots: int = 0
    processing: int = 0
    service_seconds: float = 0.0
    standing: bool = False


def total_rate(load: ModelSetLoad) -> float | None:
    """Jobs a second that leave the pool while work waits; None when nothing is known yet.

    What runs by how long a job takes, or what was counted when that is clearly more (the count
    less its standard deviation): after a pause the count is still low, and of a few jobs it says
    little.
    """
    counted = sum(level.finished_per_second for level in load.levels)
    if load.service_seconds <= 0:
        return counted or None
    running = load.processing if load.standing else max(load.processing, load.slots)
    sure = counted - math.sqrt(counted / WINDOW_SECONDS)
    return max(sure, max(1, running) / load.service_seconds)


def level_rate(
    load: ModelSetLoad, level: int, floors: Sequence[float], *, horizon_seconds: float | None = None
) -> float | None:
    """Jobs a second that a level can expect while its own work waits and no better one's does.

    Args:
        horizon_seconds: given, the rate on which it can count for that long: better levels may by
            chance take more, and less may end; both vary like counts of events. The best level is
            taken by its mean: what a few seconds bring is chance whatever one does.
    """
    rate = total_rate(load)
    if rate is None:
        return None
    better = _better(load, level)
    left = rate * (1 - _owed(load, level, floors)) - better
    if horizon_seconds is not None and level:
        left -= CAUTION * math.sqrt((rate + better) / horizon_seconds)
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
    taken = min(rate * floors[level], expected) + _better(load, level)
    left_to_better = rate * (1 - _owed(load, level, floors)) - taken
    busy_above = above / max(left_to_better, rate * _LEAST_SHARE)
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
) -> float | None:
    """How long until a request starts that has `ahead` of its level before it.

    Args:
        level: its place among `load.levels`.
        ahead: work, in jobs by size.
        floors: each level's assured share of picks, highest level first.
        horizon_seconds: as in `level_rate`; without it the estimate is neither hopeful nor careful.

    Returns:
        Seconds; 0 while a slot is free for it; None when nothing is known yet.
    """
    before = ahead + sum(each.queued for each in load.levels[:level])
    if not load.standing and before < load.slots - load.processing:
        return 0.0
    return seconds_to_start(
        load, level, work=ahead + 1, floors=floors, horizon_seconds=horizon_seconds
    )


def _better(load: ModelSetLoad, level: int) -> float:
    """Jobs a second that better levels take."""
    return sum(each.arriving_per_second for each in load.levels[:level])


def _sure(rate: float, level: int, horizon_seconds: float | None) -> float:
    """Of the whole rate, that on which a level can count for so long."""
    if horizon_seconds is None or not level:
        return rate
    return max(rate / 2, rate - CAUTION * math.sqrt(rate / horizon_seconds))


def _owed(load: ModelSetLoad, level: int, floors: Sequence[float]) -> float:
    """The share of picks that worse levels with work are sure of."""
    worse = zip(load.levels[level + 1 :], floors[level + 1 :], strict=True)
    return sum(floor for each, floor in worse if each.queued)


def _own_most(load: ModelSetLoad, level: int, otherwise: float) -> float:
    most = load.levels[level].most_running
    return most / load.service_seconds if most and load.service_seconds > 0 else otherwise
