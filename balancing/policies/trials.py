"""Which limit is in force at an endpoint, which one is kept, and since when is it measured?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from balancing.policies.goodput import Look, Seen

# Until all workers have read a new limit.
SPREAD_SECONDS = 0.9
LEAST_GROWTH = 0.125
NOTHING = Seen()


class Stage(Enum):
    """What the present limit is for."""

    KEPT = "kept"
    LOWER = "lower"
    # The kept limit again: was the lower one better, or has something else changed meanwhile?
    AGAIN = "again"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class Learned:
    """What has been learned of an endpoint.

    Attributes:
        limit: slots in force now.
        kept: slots that are known to be right; `limit` differs from it during a trial.
        most: slots that the operator allows.
        since: Unix time from which calls are counted: they begin under `limit`.
        settled_at: Unix time at which the calls above `limit` should be done.
        looked_at, felt_at: Unix times of the last look, and when the limit last held work back.
        worked: seconds in which it held work back.
        call_seconds: mean duration of calls; a measurement takes longer than one.
        rate: tokens a second at the kept limit; 0 if unknown.
        pace: least seconds by token ever seen; infinite if unknown.
        trial, trial_rate: a lower limit and its tokens a second, while the kept one is measured
            again.
        depth: the share of the slots that a lower trial takes away.
        growth: the share that the next higher trial adds.
        lower_at: a lower trial begins when it has `worked` so long.
        higher_at: Unix time before which no higher trial begins.
        lower_rest, higher_rest: seconds to the next trial after one that failed; 0: the rule's.
    """

    limit: int
    kept: int
    most: int
    since: float
    settled_at: float
    looked_at: float
    felt_at: float
    stage: Stage = Stage.KEPT
    seen: Seen = NOTHING
    worked: float = 0.0
    call_seconds: float = 1.0
    rate: float = 0.0
    pace: float = math.inf
    trial: int = 0
    trial_rate: float = 0.0
    depth: float = 0.0
    growth: float = LEAST_GROWTH
    lower_at: float = 0.0
    higher_at: float = 0.0
    lower_rest: float = 0.0
    higher_rest: float = 0.0

    @classmethod
    def begun(cls, most: int, *, limit: int = 0, now: float) -> Self:
        """The operator's limit, or a lower one that another process has learned."""
        kept = min(limit, most) if limit > 0 else most
        return cls(kept, kept, most, since=now, settled_at=now, looked_at=now, felt_at=now)

    @property
    def is_lowered(self) -> bool:
        return self.kept < self.most

    @property
    def passed(self) -> float:
        """Seconds of this measurement."""
        return self.looked_at - self.since

    @property
    def call_seconds_now(self) -> float:
        return self.seen.call_seconds(self.looked_at - self.settled_at)

    def looked(self, look: Look) -> Learned:
        is_settled = look.now > self.settled_at
        seen = self.seen.plus(look, is_settled=is_settled)
        return replace(self, looked_at=look.now, seen=seen)

    def allowed(self, most: int) -> Learned:
        """With another limit of the operator: in force at once, and tried anew."""
        if most == self.most:
            return self
        begun = Learned.begun(most, limit=self.kept if self.is_lowered else 0, now=self.looked_at)
        return replace(begun, pace=self.pace, worked=self.worked, lower_at=self.lower_at)

    def forgotten(self) -> Learned:
        return replace(Learned.begun(self.most, now=self.looked_at), pace=self.pace)

    def measured(self) -> Learned:
        """With what the measurement says whatever the limit is."""
        pace = min(self.pace, self.seen.pace)
        return replace(self, pace=pace, call_seconds=self.call_seconds_now)

    def again(self) -> Learned:
        """Measure the present limit from now on."""
        now = self.looked_at
        return replace(self, since=now, settled_at=now, seen=NOTHING)

    def stay(self) -> Learned:
        """Go on with the kept limit."""
        return self.again() if self.stage is Stage.KEPT else self.at(self.kept, Stage.KEPT)

    def at(self, limit: int, stage: Stage) -> Learned:
        """Go on with another limit. A lower one takes hold as calls end."""
        drained = max(0.0, 1 - limit / self.limit)
        settled_at = self.looked_at + SPREAD_SECONDS + 1.2 * drained * self.call_seconds
        begun = replace(self, limit=limit, stage=stage).again()
        return replace(begun, settled_at=settled_at)
