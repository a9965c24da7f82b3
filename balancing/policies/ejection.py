"""When does an endpoint get no more work because its calls fail, and how does it return?

    well --5 failures in a row--> out for 30 s --time--> on trial --success--> well
                                     ^                       |
                                     +--failure, twice as long

Ejection is passive: it uses only the calls that were made anyway. At most half of the endpoints
that serve a model are out at once. If more of them fail, the requests or the network are at fault.
Two kinds of failure are the endpoint's for certain, and do not count in that half:

- Its account is used up, by its own words: three in a row eject it for the time that it names, as
  long as one other endpoint is left.
- Its server does not answer probes either: a failed trial keeps it out, even the last one.

Source: outlier detection of Envoy (consecutive failures, base ejection time, share).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

MOST_DOUBLINGS = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an endpoint's failures. Times are Unix seconds.

    Attributes:
        failures: failed calls since the last success.
        count: ejections that still count; they make the next one longer.
        ejected_until: when a trial may follow; 0 if the endpoint is not out.
        returned_at: when its last trial succeeded; 0 if it was never out.
    """

    failures: int = 0
    count: int = 0
    ejected_until: float = 0.0
    returned_at: float = 0.0

    def is_out(self, now: float) -> bool:
        """Whether the endpoint gets no work at all."""
        return self.ejected_until > now

    def is_on_trial(self, now: float) -> bool:
        """Whether a single call may show that the endpoint works again."""
        return 0.0 < self.ejected_until <= now


WELL = Standing()


@dataclass(frozen=True, slots=True)
class Ejection:
    """The rule.

    Attributes:
        failures: this many in a row eject an endpoint. Calls that say nothing about the endpoint
            (a 4xx, a client that hung up) must not be counted.
        seconds: how long the first ejection lasts; each next one in short succession twice as long.
        longest_seconds: no ejection lasts longer, unless the endpoint says so.
        used_up: this many answers in a row that the account is used up eject an endpoint.
        longest_used_up_seconds: after so long a trial call asks whether that is still so.
        forgiven_after: after so many seconds without an ejection, one less counts.
        most: the share of the endpoints that serve a model which may be out at once.
    """

    failures: int = 5
    seconds: float = 30.0
    longest_seconds: float = 300.0
    forgiven_after: float = 300.0
    most: float = 0.5
    used_up: int = 3
    longest_used_up_seconds: float = 3600.0

    def failed(
        self,
        standing: Standing,
        *,
        now: float,
        out: int,
        of: int,
        used_up_seconds: float = 0.0,
        probes_fail: bool = False,
    ) -> Standing:
        """After a failed call.

        Args:
            out: how many of its peers are out or on trial.
            of: how many endpoints there are, its peers and itself.
            used_up_seconds: for so long its account is used up; 0 for another failure.
            probes_fail: whether its server does not answer probes either.
        """
        seen = replace(standing, failures=standing.failures + 1)
        if standing.is_out(now):
            return seen
        enough = min(self.used_up, self.failures) if used_up_seconds else self.failures
        if not standing.is_on_trial(now) and seen.failures < enough:
            return seen
        certain = out + 1 < of if used_up_seconds else probes_fail and standing.is_on_trial(now)
        if certain or self.may_eject(out, of):
            return self._eject(seen, now, used_up_seconds)
        return _kept(seen)

    def succeeded(self, standing: Standing, *, now: float) -> Standing:
        """After an answered call; a call that began before the ejection proves nothing."""
        if standing.is_out(now):
            return standing
        if standing.is_on_trial(now):
            return Standing(count=standing.count, returned_at=now)
        return replace(standing, failures=0) if standing.failures else standing

    def may_eject(self, out: int, of: int) -> bool:
        """Whether one more of so many endpoints may be out when `out` are already."""
        return out + 1 <= self.most * of

    def _eject(self, standing: Standing, now: float, used_up_seconds: float) -> Standing:
        forgiven = 0
        if standing.returned_at and not standing.ejected_until and self.forgiven_after > 0:
            forgiven = int((now - standing.returned_at) / self.forgiven_after)
        count = max(0, standing.count - forgiven) + 1
        longest = self.longest_used_up_seconds if used_up_seconds else self.longest_seconds
        grown = self.seconds * 2 ** min(count - 1, MOST_DOUBLINGS)
        until = now + min(longest, max(used_up_seconds, grown))
        return replace(standing, failures=0, count=count, ejected_until=until)


def is_away(ejected_until: float) -> bool:
    """Whether an endpoint counts as out: ejected, or still on trial."""
    return ejected_until > 0.0


def count_out(standings: Iterable[Standing]) -> int:
    """How many endpoints are out or on trial."""
    return sum(is_away(standing.ejected_until) for standing in standings)


def _kept(standing: Standing) -> Standing:
    """It keeps its work, because too many are out already; its failures are counted from 0."""
    return replace(standing, failures=0, ejected_until=0.0)
