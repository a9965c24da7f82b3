"""What do several readings of the queue say together: rates without noise, and a clock's pace?

Rates must be free of noise. Requests join whenever an estimate dips below the limit, so that the
queue grows as long as the most hopeful estimate of the last minute allows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from scheduling.policies.waiting import LevelLoad, ModelSetLoad

# How long figures are averaged over, and how long a clock must have been watched.
STEADY_SECONDS = 60.0
PACE_SECONDS, LEAST_PACE_SECONDS = 30.0, 5.0
# How much the clock's pace counts beside what is known, as a part of a geometric mean.
PACE_PART = 2 / 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a level's virtual clock goes while work waits there, in cost a second.

    The pace includes what no queue shows yet: the jobs that other flows will put before a tag.

    Attributes:
        moved, seconds: by how much the clock went, in how long; what is long ago counts for less.
    """

    moved: float = 0.0
    seconds: float = 0.0

    def after(self, moved: float, seconds: float) -> Pace:
        kept = exp(-seconds / PACE_SECONDS)
        return Pace(self.moved * kept + moved, self.seconds * kept + seconds)

    def seconds_to(self, distance: float) -> float:
        """How long until the clock has gone so far; 0 when that is not known yet."""
        if self.seconds < LEAST_PACE_SECONDS or self.moved <= 0:
            return 0.0
        return max(0.0, distance) * self.seconds / self.moved


def between(known: float, at_pace: float) -> float:
    """The work that a job will see start before it.

    Args:
        known: what stands before it now; others may put more there.
        at_pace: what starts until its level's clock gets to its tag, at the clock's latest pace.
            Work that came and went by chance is in it. So neither is right: the truth lies between.
    """
    if at_pace <= known:
        return known
    return float(max(known, 0.5) ** (1 - PACE_PART) * at_pace**PACE_PART)


def steadied(now: ModelSetLoad, before: ModelSetLoad, seconds: float) -> ModelSetLoad:
    """The figures of now; rates are averaged with what they were `seconds` ago.

    The jobs that wait and run, and the mean time that a job takes, stay as they are now. After a
    time without figures the average starts anew.
    """
    if now.service_seconds <= 0 or before.service_seconds <= 0:
        return now
    new = 1 - exp(-seconds / STEADY_SECONDS)

    def mean(latest: float, earlier: float) -> float:
        return earlier + new * (latest - earlier)

    levels = tuple(
        LevelLoad(
            level.queued,
            mean(level.finished_per_second, was.finished_per_second),
            mean(level.arriving_per_second, was.arriving_per_second),
            level.most_running,
            level.running,
        )
        for level, was in zip(now.levels, before.levels, strict=True)
    )
    return replace(now, levels=levels)
