"""May one more request join the queue? Only while it can expect to start within its level's limit.

Admission uses the estimate that clients are shown (`waiting.py`), but the careful one: clients are
told the expected wait, while the wait that chance will hardly exceed must stay below the limit. Two
rules keep admission from refusing normal use:

- Nothing is refused before anything has ended, because nothing is known then.
- As many requests as the model set has slots may always wait at a level. On a slow endpoint the
  first request that waits would exceed a limit of 3 s; to refuse it would make the queue useless.

Source: the refusal with a retry time from the same figures follows RFC 9110 (Retry-After).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scheduling.policies.rehearsal import Starts
from scheduling.policies.waiting import ModelSetLoad, seconds_to_start, wait_seconds

SHORTEST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may join.

    Attributes:
        wait_seconds: the expected wait.
        retry_after_seconds: after which it would be admitted if nothing else joined.
    """

    admitted: bool
    wait_seconds: float
    retry_after_seconds: float = 0.0


def decide(
    load: ModelSetLoad,
    level: int,
    *,
    ahead: float,
    limit_seconds: float,
    floors: Sequence[float],
    jobs_ahead: float | None = None,
    starts: Callable[[], Starts | None] | None = None,
) -> Verdict:
    """Whether a request may join.

    Args:
        level: its place among `load.levels`.
        ahead: work of its level before it, in jobs by size.
        limit_seconds: the longest wait at which it is admitted.
        floors: each level's assured share of picks, highest level first.
        jobs_ahead: how many jobs that work is, where it is known.
        starts: when the next slots free, where that is known.
    """
    wait = wait_seconds(load, level, ahead=ahead, floors=floors, starts=starts)
    careful = wait_seconds(
        load, level, ahead=ahead, floors=floors, horizon_seconds=limit_seconds, starts=starts
    )
    if wait is None or careful is None:
        return Verdict(True, 0.0)
    fewest = ahead if jobs_ahead is None else min(ahead, jobs_ahead)
    if careful <= limit_seconds or fewest < max(1, load.slots):
        return Verdict(True, wait)
    # It is admitted once the wait is below the limit, or once fewer wait than there are slots.
    fewer = seconds_to_start(load, level, work=ahead - max(1, load.slots) + 1, floors=floors)
    return Verdict(False, wait, retry_seconds(min(careful - limit_seconds, fewer or 0.0)))


def retry_seconds(seconds: float) -> float:
    return max(SHORTEST_RETRY_SECONDS, min(LONGEST_RETRY_SECONDS, seconds))


def desired_replicas(
    *,
    replicas: int,
    queued: Mapping[int, float],
    rates: Mapping[int, float | None],
    targets: Mapping[int, float],
    busy_share: float,
) -> int:
    """How many replicas of today's size would start every level's queue within its target wait.

    `replicas x max(seconds of queued work / target wait)` over the levels. At least as many as the
    slots in use fill, and at least one while there is any demand. A level whose rate is not known
    yet asks for no more replicas than there are.
    """
    pressure = busy_share
    for level, waiting in queued.items():
        rate = rates.get(level)
        if waiting and rate:
            pressure = max(pressure, waiting / rate / targets[level])
    if pressure <= 0:
        return 1 if any(queued.values()) else 0
    return max(1, -int(-max(1, replicas) * pressure // 1))
