"""How many calls at once does an endpoint carry well? Judged by the tokens it finishes a second.

A lower limit is right only where it lets the endpoint finish more: on a server that thrashes beyond
some batch. The time per token does not tell, because a batching server is at its best when each
stream is two or three times slower than alone. So the limit begins at what the operator allows,
and other limits are compared with it by trial, only while it is what holds work back:

    lower    a share of the slots less, for a few seconds; kept only if the endpoint finishes
             clearly more than just before and, at the old limit again, just after. Then lower still
    higher   every few seconds at a lowered limit, in growing steps; kept unless it finishes less

A trial may cost about a second of the endpoint's work, and lower ones come at most once in a minute
of work. Where calls are so long or so few that a trial would cost more, it waits for a reason:
tokens that take several times as long as they did at ease.

Trials on goodput are those of PCC Vivace (Dong et al., NSDI 2018). Limits by round trips (Vegas,
Gradient2 of Netflix concurrency-limits) take batching for congestion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from balancing.policies.goodput import Look
from balancing.policies.trials import LEAST_GROWTH, Learned, Stage

# A look that comes later than this was held up, as all of this process was.
LATE_SECONDS = 1.9
# A measurement takes so many times as long as a call, because few others would end in it.
CALL_TIMES = 1.2
LONGEST_LOOK = 60.0


@dataclass(frozen=True, slots=True)
class Goodput:
    """The rule.

    Attributes:
        deepest, shallowest: the most and the least of the slots that a first trial takes away.
        cost_seconds: what a trial should cost: so many seconds of the endpoint's full work.
        trial_seconds, crowded: a longer trial is made only if tokens take so many times the least
            known time.
        gain, doubt: a lower limit is kept if tokens a second rise by more than this share, plus
            the doubt by the root of the calls: the mean of few calls is uncertain.
        least_seconds, least_calls: what a measurement takes.
        felt: the limit holds work back while so much of it is in use.
        least: no limit is lower, unless the operator's is.
        lower_rest, higher_rest: seconds after a trial that failed, at first and at most.
        forget_seconds: a limit that held nothing back for so long is forgotten.
    """

    deepest: float = 0.3
    shallowest: float = 0.15
    cost_seconds: float = 0.9
    trial_seconds: float = 10.0
    crowded: float = 3.5
    gain: float = 0.03
    doubt: float = 0.7
    least_seconds: float = 3.0
    least_calls: int = 20
    felt: float = 0.8
    least: int = 4
    lower_rest: tuple[float, float] = (60.0, 300.0)
    higher_rest: tuple[float, float] = (5.0, 15.0)
    forget_seconds: float = 600.0

    def step(self, learned: Learned, look: Look, *, most: int) -> Learned:
        """What is known after one more look, made about once a second.

        Args:
            most: the slots that the operator allows; never exceeded.
        """
        is_late = look.now - learned.looked_at > LATE_SECONDS
        learned = learned.looked(look).allowed(most)
        if is_late:
            return replace(learned.stay(), rate=0.0)
        if not self._is_complete(learned):
            return learned
        seen = learned.seen
        if seen.calls < self.least_calls:
            return self._not_felt(learned)
        learned = learned.measured()
        if seen.slots < self.felt * learned.limit:
            return self._not_felt(learned)
        worked = learned.worked + learned.passed
        return self._judge(replace(learned, felt_at=look.now, worked=worked))

    def _is_complete(self, learned: Learned) -> bool:
        if learned.passed >= self._longest(learned):
            return True
        seen, call = learned.seen, learned.call_seconds_now
        is_long = learned.passed >= max(self.least_seconds, CALL_TIMES * call)
        return is_long and seen.looks >= 2 and seen.calls >= self.least_calls

    def _longest(self, learned: Learned) -> float:
        """Seconds after which a measurement is given up."""
        if learned.stage is Stage.KEPT:
            return LONGEST_LOOK
        return min(LONGEST_LOOK, 3 * self._trial_seconds(learned))

    def _trial_seconds(self, learned: Learned) -> float:
        """How long a trial is expected to take: the time of a call, and of enough calls."""
        call = learned.call_seconds
        ending = 2 * self.least_calls * call / learned.kept
        return max(self.least_seconds, CALL_TIMES * call, ending)

    def _not_felt(self, learned: Learned) -> Learned:
        """Fewer calls run than the limit allows: it costs nothing, and there is nothing to try."""
        if learned.looked_at - learned.felt_at > self.forget_seconds:
            return learned.forgotten()
        return replace(learned.stay(), rate=0.0)

    def _judge(self, learned: Learned) -> Learned:
        """What follows from a measurement."""
        match learned.stage:
            case Stage.KEPT:
                return self._kept(learned)
            case Stage.LOWER:
                return self._lower(learned)
            case Stage.AGAIN:
                return self._again(learned)
            case Stage.HIGHER:
                return self._higher(learned)

    def _kept(self, learned: Learned) -> Learned:
        # Calls of the first measurement began while the slots filled, and ran faster.
        is_first = learned.rate == 0.0
        learned = replace(learned, rate=learned.seen.rate)
        return learned.stay() if is_first else self._try(learned)

    def _try(self, learned: Learned) -> Learned:
        """Begin a trial, if one is due."""
        if learned.is_lowered and learned.looked_at >= learned.higher_at:
            higher = math.ceil(learned.kept * (1 + learned.growth))
            return learned.at(min(learned.most, higher), Stage.HIGHER)
        if learned.worked >= learned.lower_at:
            return self._try_lower(replace(learned, depth=self._depth(learned)))
        return learned.stay()

    # ---- lower ------------------------------------------------------------------------------

    def _depth(self, learned: Learned) -> float:
        """The share of the slots that a trial may take away; 0: no trial."""
        seconds = self._trial_seconds(learned)
        if seconds <= self.trial_seconds:
            return max(self.shallowest, min(self.deepest, self.cost_seconds / seconds))
        return self.deepest if learned.seen.pace > self.crowded * learned.pace else 0.0

    def _try_lower(self, learned: Learned) -> Learned:
        lower = max(self.least, math.floor(learned.kept * (1 - learned.depth)))
        if lower >= learned.kept:
            return learned.stay()
        rest = learned.lower_rest or self.lower_rest[0]
        return replace(learned, lower_at=learned.worked + rest).at(lower, Stage.LOWER)

    def _lower(self, learned: Learned) -> Learned:
        rate = learned.seen.rate
        if not self._is_better(rate, learned.rate, learned.seen.calls):
            return self._not_lower(learned)
        learned = replace(learned, trial=learned.limit, trial_rate=rate)
        if not learned.is_lowered:
            return learned.at(learned.kept, Stage.AGAIN)
        return self._lowered(learned)

    def _again(self, learned: Learned) -> Learned:
        learned = replace(learned, rate=learned.seen.rate)
        if not self._is_better(learned.trial_rate, learned.rate, learned.seen.calls):
            return self._not_lower(learned)
        return self._lowered(learned)

    def _is_better(self, rate: float, than: float, calls: int) -> bool:
        return rate > than * (1 + self.gain + self.doubt / math.sqrt(calls))

    def _lowered(self, learned: Learned) -> Learned:
        """Keep the lower limit, and try one that is lower still."""
        depth = min(0.5, 2 * learned.depth)
        learned = replace(learned, kept=learned.trial, rate=learned.trial_rate, depth=depth)
        return self._try_lower(learned)

    def _not_lower(self, learned: Learned) -> Learned:
        """The next trial comes later each time."""
        if learned.is_lowered and learned.depth >= self.shallowest:
            # Between the two limits there may be a better one.
            return self._try_lower(replace(learned, depth=learned.depth / 2))
        rest = learned.lower_rest or self.lower_rest[0]
        rested = replace(
            learned,
            lower_at=learned.worked + max(rest, 25 * learned.passed),
            lower_rest=min(self.lower_rest[1], 2 * rest),
            higher_at=learned.looked_at + (learned.higher_rest or self.higher_rest[0]),
        )
        return rested.stay()

    # ---- higher -----------------------------------------------------------------------------

    def _higher(self, learned: Learned) -> Learned:
        rate = learned.seen.rate
        if rate < learned.rate:
            rest = learned.higher_rest or self.higher_rest[0]
            rested = replace(
                learned,
                growth=LEAST_GROWTH,
                higher_at=learned.looked_at + rest,
                higher_rest=min(self.higher_rest[1], 2 * rest),
            )
            return rested.stay()
        growth = 2 * learned.growth
        learned = replace(learned, kept=learned.limit, rate=rate, growth=growth, higher_rest=0.0)
        return self._try(learned)
