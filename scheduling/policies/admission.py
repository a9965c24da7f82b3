"""May one more request join the queue? Only while it can expect to start within its level's limit.

The estimate looks at a pool: the models that share endpoints, and so wait for the same slots. A
level gets what better levels leave, at least its floor, and no more than the floors of worse
levels with work leave it. What is ahead of a request, divided by that, is its wait. Two rules keep
the estimate from refusing normal use:

- Before anything has ended nothing is known, and nothing is refused.
- As many requests as the pool has slots may always wait at a level. On a slow endpoint the very
  first that waits would exceed a limit of 3 s; refusing it would leave a queue without a use.

Source: the refusal with a retry time from the same figures follows RFC 9110 (Retry-After).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, sqrt

SHORTEST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 3600.0
# Over how long rates are averaged, and how long a clock must have been watched.
STEADY_SECONDS = 60.0
LEAST_PACE_SECONDS = 5.0
# Standard deviations: on what is left beyond them a level can count.
CAUTION = 3.0
# Of the whole rate: what a level is taken to get when everything else is promised to others.
_LEAST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class LevelLoad:
    """One level of a pool: jobs queued, and jobs that ended a second."""

    queued: int = 0
    finished_per_second: float = 0.0


@dataclass(frozen=True, slots=True)
class PoolLoad:
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """`retry_after_seconds` is when the request would be admitted if nothing else joined."""

    admitted: bool
    wait_seconds: float
    retry_after_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a level's virtual clock goes while work waits there: cost a second.

    Attributes:
        moved, seconds: by how much it went in how long; what is long ago counts for less.
    """

    moved: float = 0.0
    seconds: float = 0.0

    def after(self, moved: float, seconds: float) -> Pace:
        kept = exp(-seconds / STEADY_SECONDS)
        return Pace(self.moved * kept + moved, self.seconds * kept + seconds)

    def seconds_to(self, distance: float) -> float:
        """Until the clock has gone so far; 0 when that is not known yet."""
        if self.seconds < LEAST_PACE_SECONDS or self.moved <= 0:
            return 0.0
        return distance * self.seconds / self.moved


def steadied(now: PoolLoad, before: PoolLoad, seconds: float) -> PoolLoad:
    """The figures of now, those that vary by chance averaged with what they were `seconds` ago.

    Who joins whenever an estimate dips below the limit makes a queue as long as the most hopeful
    estimate of its time: what is noise in a rate must go.
    """
    new = 1 - exp(-seconds / STEADY_SECONDS)
    levels = tuple(
        LevelLoad(
            level.queued,
            was.finished_per_second + new * (level.finished_per_second - was.finished_per_second),
        )
        for level, was in zip(now.levels, before.levels, strict=True)
    )
    service = now.service_seconds
    if service > 0 and before.service_seconds > 0:
        service = before.service_seconds + new * (service - before.service_seconds)
    return replace(now, levels=levels, service_seconds=service)


def pool_rate(pool: PoolLoad) -> float | None:
    """Jobs a second that leave the pool while work waits; None when nothing is known yet.

    Counted, or what runs by how long a job takes, whichever is more: after a pause the count is
    still low.
    """
    counted = sum(level.finished_per_second for level in pool.levels)
    if pool.service_seconds <= 0:
        return counted or None
    running = pool.processing if pool.standing else max(pool.processing, pool.slots)
    return max(counted, max(1, running) / pool.service_seconds)


def level_rate(
    pool: PoolLoad, level: int, floors: Sequence[float], *, horizon_seconds: float | None = None
) -> float | None:
    """Jobs a second that a level can expect of the pool, while its own work waits.

    Args:
        horizon_seconds: given, the rate on which it can count for that long: better levels may by
            chance take more and jobs take longer; both vary like counts of events. The best level
            is taken by its mean: what a few seconds bring is chance whatever one does.
    """
    rate = pool_rate(pool)
    if rate is None:
        return None
    better = sum(each.finished_per_second for each in pool.levels[:level])
    owed = sum(
        floor
        for each, floor in zip(pool.levels[level + 1 :], floors[level + 1 :], strict=True)
        if each.queued
    )
    left = rate * (1 - owed) - better
    if horizon_seconds is not None and level:
        left -= CAUTION * sqrt((rate + better) / horizon_seconds)
        rate = _sure(rate, horizon_seconds)
    return max(left, rate * floors[level], rate * _LEAST_SHARE)


def _sure(rate: float, horizon_seconds: float) -> float:
    return max(rate / 2, rate - CAUTION * sqrt(rate / horizon_seconds))


def wait_seconds(
    pool: PoolLoad,
    level: int,
    *,
    ahead: float,
    floors: Sequence[float],
    horizon_seconds: float | None = None,
) -> float | None:
    """How long until a request starts that has `ahead` others of its level before it.

    Args:
        horizon_seconds: as in `level_rate`; without it the estimate is neither hopeful nor careful.
    """
    rate = pool_rate(pool)
    own = level_rate(pool, level, floors, horizon_seconds=horizon_seconds)
    if rate is None or own is None:
        return None
    above = sum(each.queued for each in pool.levels[:level])
    wait = above / rate + ahead / own
    if horizon_seconds is not None:
        rate = _sure(rate, horizon_seconds)
    floor = rate * floors[level]
    return min(wait, ahead / floor) if floor > 0 else wait


def decide(
    pool: PoolLoad, level: int, *, ahead: float, limit_seconds: float, floors: Sequence[float]
) -> Verdict:
    """Whether a request with `ahead` others of its level before it may join.

    The wait that is told is the expected one; what must stay below the limit is a careful one.

    Args:
        level: its place among `pool.levels`.
        limit_seconds: the longest wait at which it is admitted.
        floors: each level's assured share of picks, highest level first.
    """
    wait = wait_seconds(pool, level, ahead=ahead, floors=floors)
    careful = wait_seconds(pool, level, ahead=ahead, floors=floors, horizon_seconds=limit_seconds)
    own = level_rate(pool, level, floors)
    if wait is None or careful is None or own is None:
        return Verdict(True, 0.0)
    if careful <= limit_seconds or ahead < max(1, pool.slots):
        return Verdict(True, wait)
    # Admitted again when the wait is below the limit, or when fewer wait than there are slots.
    fewer = (ahead - max(1, pool.slots) + 1) / own
    return Verdict(False, wait, retry_seconds(min(careful - limit_seconds, fewer)))


def retry_seconds(seconds: float) -> float:
    return max(SHORTEST_RETRY_SECONDS, min(LONGEST_RETRY_SECONDS, seconds))


def pools_of(endpoints: Sequence[tuple[int, frozenset[str]]]) -> list[tuple[int, frozenset[str]]]:
    """Endpoints (slots, models) grouped into pools (slots, models): no two pools share a model."""
    pools: list[tuple[int, frozenset[str]]] = []
    for slots, models in endpoints:
        apart = []
        for other_slots, other_models in pools:
            if models & other_models:
                slots, models = slots + other_slots, models | other_models
            else:
                apart.append((other_slots, other_models))
        pools = [*apart, (slots, models)]
    return pools


def desired_replicas(
    *,
    replicas: int,
    queued: Mapping[int, float],
    rates: Mapping[int, float | None],
    targets: Mapping[int, float],
    busy_share: float,
) -> int:
    """How many replicas of today's size would start every level's queue within its target wait.

    `replicas x max(seconds of queued work / target wait)` over the levels, at least what the
    present use fills, at least one while there is any demand. A level whose rate is not known
    yet asks for no more than there is.
    """
    pressure = busy_share
    for level, waiting in queued.items():
        rate = rates.get(level)
        if waiting and rate:
            pressure = max(pressure, waiting / rate / targets[level])
    if pressure <= 0:
        return 1 if any(queued.values()) else 0
    return max(1, -int(-max(1, replicas) * pressure // 1))
