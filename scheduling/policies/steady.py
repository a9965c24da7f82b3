"""What looks at the queue a second apart tell together: rates without their noise, a clock's pace.

Who joins whenever an estimate dips below the limit makes a queue as long as the most hopeful
estimate of its time: what is noise in a rate must go.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

from scheduling.policies.waiting import LevelLoad, ModelSetLoad

# Over how long figures are averaged, and how long a clock must have been watched.
STEADY_SECONDS = 60.0
LEAST_PACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a level's virtual clock goes while work waits there: cost a second.

    It knows what no queue shows: what other flows will still put before a tag.

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
        return max(0.0, distance) * self.seconds / self.moved


def steadied(now: ModelSetLoad, before: ModelSetLoad, seconds: float) -> ModelSetLoad:
    """The figures of now, those that vary by chance averaged with what they were `seconds` ago.

    What waits, what runs and how long a job takes (a mean of many already) is as it is now. After a
    time without figures it starts anew.
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
        )
        for level, was in zip(now.levels, before.levels, strict=True)
    )
    return replace(now, levels=levels)
