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


@dataclass(frozen=True, slots=True)
class Look:
    """What an endpoint did since the look before, about a second ago.

    Attributes:
        now: Unix time.
        in_use: slots in use now.
        tokens, seconds, calls: sums over the calls that ended; failed ones have no tokens.
    """

    now: float
    in_use: int
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Sums over some looks at one limit."""

    looks: int = 0
    in_use: int = 0
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0

    def plus(self, look: Look) -> Seen:
        return Seen(
            self.looks + 1,
            self.in_use + look.in_use,
            self.tokens + look.tokens,
            self.seconds + look.seconds,
            self.calls + look.calls,
        )

    @property
    def slots(self) -> float:
        """Slots in use, on average."""
        return self.in_use / self.looks

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
    looked_at: float = 0.0
    seen: Seen = Seen()
    call_seconds: float = 1.0
    rate: float = 0.0
    trial_rate: float = 0.0
    growth: float = 1.25
    lower_at: float = 0.0
    lower_rest: float = 60.0
    higher_at: float = 0.0
    higher_rest: float = 5.0
    felt_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Goodput:
    """The rule.

    Attributes:
        depth: share of the slots that a lower trial takes away.
        gain: the least rise of tokens a second for which a lower limit is kept; fewer calls than
            thousands ask for more, because their mean is less certain.
        calls: the fewest calls that a comparison rests on.
        felt: the limit holds work back while so much of it is in use.
        least: no limit is lower, unless the operator's is.
        forget_seconds: a limit that held nothing back for so long is forgotten.
    """

    depth: float = 0.25
    gain: float = 0.05
    calls: int = 30
    felt: float = 0.8
    least: int = 4
    forget_seconds: float = 600.0
    longest_rest: float = 300.0
    longest_higher_rest: float = 15.0
    longest_call: float = 20.0
    longest_look: float = 60.0

    def step(self, learned: Learned, look: Look, *, most: int) -> Learned:
        """What is known after one more look, made about once a second.

        Args:
            most: the slots that the operator allows; the first limit, and never exceeded.
        """
        learned = _within(learned, most, look.now)
        is_late = look.now - learned.looked_at > 1.9
        learned = replace(learned, looked_at=look.now)
        if is_late:
            # This process was held up itself: what it saw meanwhile says nothing.
            return replace(learned, seen=Seen(), since=max(learned.since, look.now))
        if look.now <= learned.since:
            return learned
        learned = replace(learned, seen=learned.seen.plus(look))
        if not self._is_enough(learned):
            return learned
        if learned.seen.slots < self.felt * learned.limit or learned.seen.calls < self.calls:
            return self._not_felt(learned, most)
        return self._judge(replace(learned, felt_at=look.now), most)

    def _is_enough(self, learned: Learned) -> bool:
        passed = learned.looked_at - learned.since
        wanted = max(2.0, 1.5 * learned.call_seconds)
        return passed >= wanted and (
            learned.seen.calls >= self.calls or passed >= self.longest_look
        )

    def _not_felt(self, learned: Learned, most: int) -> Learned:
        """Fewer calls than the limit run: there is nothing to try, and a limit costs nothing."""
        if learned.looked_at - learned.felt_at > self.forget_seconds:
            return _started(most, learned.looked_at)
        return _at(learned, learned.kept, Stage.KEPT, settle=learned.limit != learned.kept)

    def _judge(self, learned: Learned, most: int) -> Learned:
        seen = learned.seen
        mean = seen.seconds / seen.calls
        learned = replace(learned, call_seconds=min(self.longest_call, max(1.0, mean)))
        match learned.stage:
            case Stage.KEPT:
                return self._try(replace(learned, rate=seen.tokens_per_second), most)
            case Stage.LOWER:
                return self._lower(learned, most)
            case Stage.AGAIN:
                return self._again(learned, most)
            case Stage.HIGHER:
                return self._higher(learned, most)

    def _try(self, learned: Learned, most: int) -> Learned:
        """Begin a trial, if one is due."""
        now = learned.looked_at
        if learned.kept < most and now >= learned.higher_at:
            higher = min(most, max(learned.kept + 1, math.ceil(learned.kept * learned.growth)))
            return _at(learned, higher, Stage.HIGHER)
        if now >= learned.lower_at:
            return self._try_lower(learned)
        return _at(learned, learned.kept, Stage.KEPT, settle=False)

    def _try_lower(self, learned: Learned) -> Learned:
        lower = max(self.least, math.floor(learned.kept * (1 - self.depth)))
        if lower >= learned.kept:
            return _at(learned, learned.kept, Stage.KEPT, settle=False)
        learned = replace(learned, lower_at=learned.looked_at + learned.lower_rest)
        return _at(learned, lower, Stage.LOWER)

    def _is_better(self, rate: float, than: float, calls: int) -> bool:
        return rate > than * (1 + self.gain + 1 / math.sqrt(calls))

    def _lower(self, learned: Learned, most: int) -> Learned:
        rate = learned.seen.tokens_per_second
        if not self._is_better(rate, learned.rate, learned.seen.calls):
            return self._stay(learned, most)
        if learned.kept == most:
            return _at(replace(learned, trial_rate=rate), learned.kept, Stage.AGAIN)
        return self._try_lower(replace(learned, kept=learned.limit, rate=rate))

    def _again(self, learned: Learned, most: int) -> Learned:
        rate = learned.seen.tokens_per_second
        learned = replace(learned, rate=rate)
        if not self._is_better(learned.trial_rate, rate, learned.seen.calls):
            return self._stay(learned, most)
        lower = max(self.least, math.floor(learned.kept * (1 - self.depth)))
        return self._try_lower(replace(learned, kept=lower, rate=learned.trial_rate))

    def _stay(self, learned: Learned, most: int) -> Learned:
        """No lower limit is better: the next trial comes later each time."""
        now = learned.looked_at
        took = now - learned.since + 2 * learned.call_seconds
        rest = max(learned.lower_rest, took * self.depth * 100)
        learned = replace(
            learned,
            lower_at=now + rest,
            lower_rest=min(self.longest_rest, 2 * learned.lower_rest),
            higher_at=now + learned.higher_rest,
        )
        return _at(learned, learned.kept, Stage.KEPT)

    def _higher(self, learned: Learned, most: int) -> Learned:
        rate, now = learned.seen.tokens_per_second, learned.looked_at
        if rate < learned.rate:
            learned = replace(
                learned,
                growth=1 + self.depth,
                higher_at=now + learned.higher_rest,
                higher_rest=min(self.longest_higher_rest, 2 * learned.higher_rest),
            )
            return _at(learned, learned.kept, Stage.KEPT)
        learned = replace(
            learned,
            kept=learned.limit,
            rate=rate,
            growth=1 + 2 * (learned.growth - 1),
            higher_rest=5.0,
        )
        return self._try(learned, most)


def _started(most: int, now: float) -> Learned:
    return Learned(limit=most, kept=most, since=now, looked_at=now, felt_at=now)


def _within(learned: Learned, most: int, now: float) -> Learned:
    """Begun at the operator's limit, and never above it."""
    if learned.limit <= 0:
        return _started(most, now)
    if learned.limit > most or learned.kept > most:
        return replace(_started(most, now), lower_at=learned.lower_at)
    return learned


def _at(learned: Learned, limit: int, stage: Stage, *, settle: bool = True) -> Learned:
    """Begin to measure at a limit, when the calls that began before are done."""
    seconds = max(1.0, 1.5 * learned.call_seconds) if settle else 0.0
    since = learned.looked_at + seconds
    return replace(learned, limit=limit, stage=stage, since=since, seen=Seen())
