"""How many calls at once does an endpoint carry well? Learned from the tokens it finishes a second.

A lower limit is right only where it lets an endpoint finish more tokens: on a server that thrashes
beyond some batch. A longer time per token says nothing of that, because a batching server is at its
best when each stream is two or three times slower than alone. So the limit begins at what the
operator allows, and the rule compares by trial, only while the limit is what holds work back:

    tokens a second = slots in use x tokens of ended calls / seconds of ended calls

By Little's law this is what the endpoint finishes, without the noise of counting few and long
answers, and our own delays are in all terms alike. A quarter less is tried once in a while, for a
few seconds, and kept only if the tokens a second rise clearly above those just before and just
after. A lowered limit is tried higher every few seconds, and stays higher if the tokens a second
do not fall. What is known of the trial is in the memory of one process; a successor begins from the
limit.

Source: the trials are those of TCP Vivace (Dong et al., NSDI 2018) with goodput as the utility;
limits by round trips (Vegas, Gradient2 of Netflix concurrency-limits) read batching as congestion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import Enum

GROWTH = 0.125
LATE_SECONDS = 1.9
LONGEST_CALL, LONGEST_LOOK = 60.0, 60.0
CALLS = 1.2


@dataclass(frozen=True, slots=True)
class Look:
    """What an endpoint did since the look before, about a second ago.

    Attributes:
        now: Unix time.
        in_use: slots in use now.
        ended: calls that ended.
        tokens, seconds, calls: sums over those of them that began since `Learned.since`; failed
            ones have no tokens.
    """

    now: float
    in_use: int
    ended: int = 0
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Sums over some looks at one limit."""

    looks: int = 0
    in_use: int = 0
    ended: int = 0
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0

    def plus(self, look: Look, *, settled: bool) -> Seen:
        return Seen(
            self.looks + settled,
            self.in_use + look.in_use * settled,
            self.ended + look.ended * settled,
            self.tokens + look.tokens,
            self.seconds + look.seconds,
            self.calls + look.calls,
        )

    @property
    def slots(self) -> float:
        """Slots in use, on average."""
        return self.in_use / self.looks if self.looks else 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.slots * self.tokens / self.seconds if self.seconds > 0 else 0.0


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
        limit: slots in force now; 0 if nothing has been learned.
        kept: slots that are known to be right; `limit` differs from it during a trial.
        since: Unix time from which looks count; before it, calls of another limit end.
        looked_at: Unix time of the last look.
        call_seconds: mean duration of calls, bounded; trials take a few times as long.
        rate: tokens a second at the kept limit; 0 if unknown.
        trial_rate: tokens a second at the lower limit, while the kept one is measured again.
        growth: by how much the next higher trial is higher.
        lower_at, higher_at: Unix times before which no such trial begins.
        lower_rest, higher_rest: seconds to the next trial after one that failed.
        felt_at: when the limit last held work back.
    """

    limit: int = 0
    kept: int = 0
    stage: Stage = Stage.KEPT
    since: float = 0.0
    settled_at: float = 0.0
    looked_at: float = 0.0
    seen: Seen = Seen()
    call_seconds: float = 1.0
    rate: float = 0.0
    trial_rate: float = 0.0
    depth: float = 0.25
    growth: float = GROWTH
    pace: float = 0.0
    trial: int = 0
    lower_at: float = 0.0
    lower_rest: float = 60.0
    higher_at: float = 0.0
    higher_rest: float = 5.0
    felt_at: float = 0.0

    @property
    def call_seconds_now(self) -> float:
        """The mean duration of calls, by Little's law: when slots fill, only short calls end."""
        seen = self.seen
        spent = seen.slots * (self.looked_at - self.settled_at)
        return min(LONGEST_CALL, max(1.0, spent / max(1, seen.ended)))


@dataclass(frozen=True, slots=True)
class Goodput:
    """The rule.

    Attributes:
        deepest: the largest share of the slots that a lower trial takes away at first.
        shallowest: a trial that may take away less than this is not made.
        cost_seconds: what a trial may cost: so many seconds of the endpoint's full work.
        crowded: a costlier trial is made where tokens take so many times the least time known.
        gain: the least rise of tokens a second for which a lower limit is kept; the mean of few
            calls is less certain and has to rise more.
        calls: the fewest calls that a comparison rests on.
        felt: the limit holds work back while so much of it is in use.
        least: no limit is lower, unless the operator's is.
        lower_rest: seconds from a lower trial that failed to the next; doubled each time.
        higher_rest: the same for higher trials.
        forget_seconds: a limit that held nothing back for so long is forgotten.
    """

    deepest: float = 0.4
    shallowest: float = 0.2
    cost_seconds: float = 1.3
    crowded: float = 3.5
    gain: float = 0.03
    look_seconds: float = 3.5
    calls: int = 30
    felt: float = 0.8
    least: int = 4
    lower_rest: tuple[float, float] = (60.0, 300.0)
    higher_rest: tuple[float, float] = (5.0, 15.0)
    forget_seconds: float = 600.0

    def step(self, learned: Learned, look: Look, *, most: int) -> Learned:
        """What is known after one more look, made about once a second.

        Args:
            most: the slots that the operator allows; the first limit, and never exceeded.
        """
        learned = _within(learned, most, look.now)
        is_late = look.now - learned.looked_at > LATE_SECONDS
        learned = replace(learned, looked_at=look.now)
        if is_late:
            # This process was held up itself: what it saw meanwhile says nothing.
            return _measure(learned)
        settled = look.now > learned.settled_at
        learned = replace(learned, seen=learned.seen.plus(look, settled=settled))
        if not self._is_enough(learned):
            return learned
        seen = learned.seen
        if seen.calls < self.calls or seen.slots < self.felt * learned.limit:
            return self._not_felt(learned, most)
        return self._judge(replace(learned, felt_at=look.now), most)

    def _is_enough(self, learned: Learned) -> bool:
        passed = learned.looked_at - learned.since
        if passed >= LONGEST_LOOK:
            return True
        is_long = passed >= max(self.look_seconds, CALLS * learned.call_seconds_now)
        return is_long and learned.seen.calls >= self.calls

    def _not_felt(self, learned: Learned, most: int) -> Learned:
        """Fewer calls run than the limit allows: it costs nothing, and there is nothing to try."""
        if learned.looked_at - learned.felt_at > self.forget_seconds:
            return replace(_started(most, learned.looked_at), pace=learned.pace)
        return _keep(_paced(learned))

    def _judge(self, learned: Learned, most: int) -> Learned:
        """A measurement is complete."""
        seen = learned.seen
        learned = _paced(replace(learned, call_seconds=learned.call_seconds_now))
        match learned.stage:
            case Stage.KEPT:
                return self._try(replace(learned, rate=seen.tokens_per_second), most)
            case Stage.LOWER:
                return self._lower(learned, most)
            case Stage.AGAIN:
                return self._again(learned, most)
            case Stage.HIGHER:
                return self._higher(learned, most)

    # ---- trials -----------------------------------------------------------------------------

    def _try(self, learned: Learned, most: int) -> Learned:
        """Begin a trial, if one is due."""
        now = learned.looked_at
        if learned.kept < most and now >= learned.higher_at:
            higher = max(learned.kept + 1, math.ceil(learned.kept * (1 + learned.growth)))
            return _trial(learned, min(most, higher), Stage.HIGHER)
        if now >= learned.lower_at:
            return self._try_lower(replace(learned, depth=self._depth(learned)))
        return _keep(learned)

    def _depth(self, learned: Learned) -> float:
        """The share of the slots to try without: no more than a trial may cost."""
        seen, call = learned.seen, learned.call_seconds
        seconds = max(self.look_seconds, CALLS * call, 2 * self.calls * call / learned.kept)
        depth = min(self.deepest, self.cost_seconds / seconds)
        if depth >= self.shallowest:
            return depth
        is_crowded = seen.seconds > self.crowded * learned.pace * seen.tokens
        return self.shallowest if is_crowded else 0.0

    def _try_lower(self, learned: Learned) -> Learned:
        lower = max(self.least, math.floor(learned.kept * (1 - learned.depth)))
        if lower >= learned.kept:
            return _keep(learned)
        lower_at = learned.looked_at + learned.lower_rest
        return _trial(replace(learned, lower_at=lower_at), lower, Stage.LOWER)

    def _lower(self, learned: Learned, most: int) -> Learned:
        rate = learned.seen.tokens_per_second
        if not self._is_better(rate, learned.rate, learned.seen.calls):
            return self._stay(learned, most)
        learned = replace(learned, trial_rate=rate, trial=learned.limit)
        if learned.kept == most:
            return _trial(learned, learned.kept, Stage.AGAIN)
        return self._go_lower(learned)

    def _again(self, learned: Learned, most: int) -> Learned:
        learned = replace(learned, rate=learned.seen.tokens_per_second)
        if not self._is_better(learned.trial_rate, learned.rate, learned.seen.calls):
            return self._stay(learned, most)
        return self._go_lower(learned)

    def _is_better(self, rate: float, than: float, calls: int) -> bool:
        return rate > than * (1 + self.gain + 1 / math.sqrt(calls))

    def _go_lower(self, learned: Learned) -> Learned:
        """The lower limit is better: keep it, and try one that is lower still."""
        depth = min(0.5, 2 * learned.depth)
        kept = replace(learned, kept=learned.trial, rate=learned.trial_rate, depth=depth)
        return self._try_lower(kept)

    def _stay(self, learned: Learned, most: int) -> Learned:
        """The lower limit is not better; the next trial comes later each time."""
        if learned.kept < most and learned.depth >= self.shallowest:
            # Between the two there may be a better one.
            return self._try_lower(replace(learned, depth=learned.depth / 2))
        now = learned.looked_at
        took = now - learned.since
        rested = replace(
            learned,
            lower_at=now + max(learned.lower_rest, 25 * took),
            lower_rest=min(self.lower_rest[1], 2 * learned.lower_rest),
            higher_at=now + learned.higher_rest,
        )
        return _keep(rested)

    def _higher(self, learned: Learned, most: int) -> Learned:
        rate, now = learned.seen.tokens_per_second, learned.looked_at
        if rate < learned.rate:
            rested = replace(
                learned,
                growth=GROWTH,
                higher_at=now + learned.higher_rest,
                higher_rest=min(self.higher_rest[1], 2 * learned.higher_rest),
            )
            return _keep(rested)
        risen = replace(
            learned,
            kept=learned.limit,
            rate=rate,
            growth=2 * learned.growth,
            higher_rest=self.higher_rest[0],
        )
        return self._try(risen, most)


def _started(most: int, now: float) -> Learned:
    return Learned(most, most, since=now, settled_at=now, looked_at=now, felt_at=now)


def _within(learned: Learned, most: int, now: float) -> Learned:
    """Begun at the operator's limit, and never above it."""
    if learned.limit <= 0:
        return _started(most, now)
    if learned.limit > most or learned.kept > most:
        return replace(_started(most, now), pace=learned.pace, lower_at=learned.lower_at)
    return learned


def _paced(learned: Learned) -> Learned:
    seen = learned.seen
    if not seen.tokens:
        return learned
    pace = seen.seconds / seen.tokens
    return replace(learned, pace=min(pace, learned.pace or pace))


def _measure(learned: Learned, settle: float = 0.0) -> Learned:
    now = learned.looked_at
    return replace(learned, since=now, settled_at=now + settle, seen=Seen())


def _keep(learned: Learned) -> Learned:
    """Measure at the kept limit."""
    if learned.stage is Stage.KEPT:
        return _measure(learned)
    return _trial(learned, learned.kept, Stage.KEPT)


def _trial(learned: Learned, limit: int, stage: Stage) -> Learned:
    """Another limit, measured when most of the calls from before are done."""
    drained = max(0.0, 1 - limit / learned.limit)
    settle = 0.9 + 1.2 * drained * learned.call_seconds
    return _measure(replace(learned, limit=limit, stage=stage), settle)
