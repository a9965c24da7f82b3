"""The retry budgets of one worker process, an account an endpoint.

Each process counts its own calls: the shares of all workers add up to a share of all calls. The
retries a second are per worker; they are for times of little traffic, when a share of no calls
would forbid the first retry.
"""

from __future__ import annotations

import time

import structlog

from llmqueue_project.config import configuration
from scheduling import metrics
from scheduling.policies.retry_budget import Account, RetryBudget

log = structlog.get_logger(__name__)


class RetryAccounts:
    def __init__(self) -> None:
        config = configuration().scheduling
        self._rule = RetryBudget(config.retry_budget_share, config.retry_budget_per_second)
        self._longest_seconds = config.retry_budget_longest_seconds
        self._accounts: dict[int, Account] = {}

    def called(self, endpoint_id: int) -> None:
        """A job's first call goes to this endpoint."""
        now = time.monotonic()
        self._accounts[endpoint_id] = self._rule.called(self._of(endpoint_id, now), now)

    def put_off(self, endpoint_id: int, name: str) -> float:
        """A call there failed and is to be made again: seconds to put that off, 0 for at once."""
        now = time.monotonic()
        account, seconds = self._rule.retried(
            self._of(endpoint_id, now), now, longest_seconds=self._longest_seconds
        )
        self._accounts[endpoint_id] = account
        metrics.retries.labels(name, "put off" if seconds else "within").inc()
        if seconds:
            log.info("retry.put_off", endpoint=name, seconds=round(seconds, 2))
        return seconds

    def _of(self, endpoint_id: int, now: float) -> Account:
        return self._accounts.get(endpoint_id) or self._rule.opened(now)
