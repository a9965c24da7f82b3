"""When does an endpoint that keeps failing get no more work, and how does it come back?

    well --5 failures in a row--> out for 30 s x count --time--> on trial --success--> well
                                        ^                            |
                                        +----------failure-----------+

Passive: it only learns from the calls that were made anyway. Never more than half of a pool is
out, for then it is the requests that are at fault, or the network, and not the endpoints. Source:
outlier detection of Envoy (consecutive failures, base ejection time x count, share of the pool).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Standing:
    """What is remembered of an endpoint's failures. Times are Unix seconds.

    Attributes:
        failures: failed calls since the last success.
        count: ejections that still count; the next lasts that many times longer.
        ejected_until: when it may be tried again; 0 when it is not out.
        returned_at: when its last trial succeeded; 0 when it was never out.
    """

    failures: int = 0
    count: int = 0
    ejected_until: float = 0.0
    returned_at: float = 0.0

    def is_out(self, now: float) -> bool:
        """Whether it gets no work at all."""
        return self.ejected_until > now

    def is_on_trial(self, now: float) -> bool:
        """Whether a single request may show that it works again."""
        return 0.0 < self.ejected_until <= now


WELL = Standing()


@dataclass(frozen=True, slots=True)
class Ejection:
    """The rule.

    Attributes:
        failures: in a row, that eject; calls that the endpoint is not to blame for (4xx, a client
            that hung up) must not be told to it.
        seconds: the first ejection; the nth in short succession lasts n times that.
        longest_seconds: no ejection lasts longer.
        forgiven_after: seconds without an ejection after which one less counts.
        most: share of a pool that may be out at once.
    """

    failures: int = 5
    seconds: float = 30.0
    longest_seconds: float = 300.0
    forgiven_after: float = 300.0
    most: float = 0.5

    def failed(self, standing: Standing, *, now: float, out: int, of: int) -> Standing:
        """After a failed call.

        Args:
            out: others of its pool that are out or on trial.
            pool: endpoints in its pool, itself included.
        """
        if standing.is_out(now):
            return replace(standing, failures=standing.failures + 1)
        seen = replace(standing, failures=standing.failures + 1)
        if standing.is_on_trial(now) or seen.failures >= self.failures:
            return self._eject(seen, now) if self.may_eject(out, of) else _kept(seen)
        return seen

    def succeeded(self, standing: Standing, *, now: float) -> Standing:
        """After a call that was answered; one that began before the ejection proves nothing."""
        if standing.is_out(now):
            return standing
        if standing.is_on_trial(now):
            return Standing(count=standing.count, returned_at=now)
        return replace(standing, failures=0) if standing.failures else standing

    def may_eject(self, out: int, of: int) -> bool:
        """Whether one more may be out when `out` others of its pool are."""
        return out + 1 <= self.most * of

    def _eject(self, standing: Standing, now: float) -> Standing:
        forgiven = 0
        if standing.returned_at and not standing.ejected_until and self.forgiven_after > 0:
            forgiven = int((now - standing.returned_at) / self.forgiven_after)
        count = max(0, standing.count - forgiven) + 1
        until = now + min(self.longest_seconds, self.seconds * count)
        return replace(standing, failures=0, count=count, ejected_until=until)


def is_away(ejected_until: float) -> bool:
    """Whether an endpoint counts as out of its pool: ejected, or still on trial."""
    return ejected_until > 0.0


def count_out(standings: Iterable[Standing]) -> int:
    """How many are out or on trial."""
    return sum(is_away(standing.ejected_until) for standing in standings)


def _kept(standing: Standing) -> Standing:
    """Bad, but too many are out already: it stays in, and is judged again from here."""
    return replace(standing, failures=0, ejected_until=0.0)
