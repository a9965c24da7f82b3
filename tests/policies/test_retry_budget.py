"""Retry budgets: an outage may not multiply the load, and nothing is lost to them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.retry_budget import RetryBudget

LONGEST = 60.0
rules = st.builds(
    RetryBudget,
    share=st.floats(0, 1),
    per_second=st.floats(0, 50),
    saved_seconds=st.floats(1, 30),
)
# (seconds since the event before, whether it is a first call)
events = st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=200)


@given(rules, events)
def test_retries_at_once_stay_within_the_budget(
    rule: RetryBudget, happened: list[tuple[float, bool]]
) -> None:
    now, calls, at_once = 0.0, 0, 0
    account = rule.opened(now)
    for seconds, is_call in happened:
        now += seconds
        if is_call:
            calls += 1
            account = rule.called(account, now)
        else:
            account, wait = rule.retried(account, now, longest_seconds=LONGEST)
            at_once += wait == 0

    assert at_once <= rule.most + rule.share * calls + rule.per_second * now + 1e-6


@given(rules, events)
def test_a_retry_is_put_off_for_a_time_that_ends(
    rule: RetryBudget, happened: list[tuple[float, bool]]
) -> None:
    now = 0.0
    account = rule.opened(now)
    for seconds, is_call in happened:
        now += seconds
        if is_call:
            account = rule.called(account, now)
        else:
            account, wait = rule.retried(account, now, longest_seconds=LONGEST)
            assert 0 <= wait <= LONGEST
        assert account.left <= rule.most


@given(st.floats(0.5, 50), st.integers(1, 100))
def test_retries_of_one_moment_queue_up_behind_one_another(per_second: float, more: int) -> None:
    rule = RetryBudget(share=0.0, per_second=per_second, saved_seconds=1.0)
    account, waits = rule.opened(0.0), []
    for _ in range(int(rule.most) + more):
        account, wait = rule.retried(account, 0.0, longest_seconds=1e9)
        waits.append(wait)

    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx((len(waits) - rule.most) / per_second, abs=1e-6)


def test_calls_earn_a_share() -> None:
    rule = RetryBudget(share=0.2, per_second=0.0)
    account = rule.opened(0.0)
    account, first = rule.retried(account, 0.0, longest_seconds=LONGEST)
    account, second = rule.retried(account, 0.0, longest_seconds=LONGEST)
    for _ in range(10):
        account = rule.called(account, 0.0)
    account, third = rule.retried(account, 0.0, longest_seconds=LONGEST)

    assert (first, second, third) == (0.0, LONGEST, 0.0)


def test_an_outage_costs_a_fifth_more_calls_and_ten_a_second() -> None:
    """A hundred calls a second for a minute, and every one of them fails."""
    rule = RetryBudget()
    account, at_once = rule.opened(0.0), 0
    for tick in range(6000):
        now = tick / 100
        account = rule.called(account, now)
        account, wait = rule.retried(account, now, longest_seconds=LONGEST)
        at_once += wait == 0

    assert at_once <= rule.most + 0.2 * 6000 + 10 * 60
