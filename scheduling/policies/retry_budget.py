"""How many retries may an endpoint's failures cause? A share of its calls, and a few a second.

Without a budget an outage triples the load: every call is made three times, at the endpoints that
are left. With a budget there are at most so many retries:

    share x first calls + per_second x time

A retry beyond the budget is not refused. It is put off until the budget has earned it: the account
goes below zero, so that each later retry waits longer. Source: retry budgets as in Finagle
(Twitter, 2016), which refuses instead of waiting.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """What an endpoint's budget holds, in retries; below zero it is owed. `at` is in seconds."""

    left: float
    at: float


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """The rule: retries a first call earns, retries a second earns, and how much may be saved."""

    share: float = 0.2
    per_second: float = 10.0
    saved_seconds: float = 10.0

    @property
    def most(self) -> float:
        return max(1.0, self.per_second * self.saved_seconds)

    def opened(self, now: float) -> Account:
        return Account(self.most, now)

    def called(self, account: Account, now: float) -> Account:
        """After a first call."""
        earned = self._earned(account, now)
        return Account(min(self.most, earned.left + self.share), now)

    def retried(
        self, account: Account, now: float, *, longest_seconds: float
    ) -> tuple[Account, float]:
        """The account after one more retry, and how long that retry must be put off.

        Returns:
            The account, and seconds: 0 within the budget. Otherwise so long that time alone earns
            the retry, but at most `longest_seconds`.
        """
        earned = self._earned(account, now)
        left = earned.left - 1.0
        if left >= 0:
            return Account(left, now), 0.0
        seconds = -left / self.per_second if self.per_second > 0 else longest_seconds
        return Account(left, now), min(longest_seconds, seconds)

    def _earned(self, account: Account, now: float) -> Account:
        passed = max(0.0, now - account.at)
        return Account(min(self.most, account.left + passed * self.per_second), now)
