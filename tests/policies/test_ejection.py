"""Passive ejection: who keeps failing is out for a while, but never more than half of a pool."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.policies.ejection import WELL, Ejection, Standing, count_out

RULE = Ejection()


def failing(standing: Standing, times: int, *, now: float, pool: int = 6) -> Standing:
    for _ in range(times):
        standing = RULE.failed(standing, now=now, out=0, of=pool)
    return standing


def test_five_failures_in_a_row_eject_for_thirty_seconds() -> None:
    assert not failing(WELL, 4, now=100.0).is_out(100.0)

    out = failing(WELL, 5, now=100.0)

    assert out.is_out(129.9)
    assert not out.is_out(130.0)
    assert out.is_on_trial(130.0)


def test_a_success_between_them_starts_the_count_again() -> None:
    seen = RULE.succeeded(failing(WELL, 4, now=100.0), now=100.0)

    assert seen == WELL
    assert not failing(seen, 4, now=101.0).is_out(101.0)


def test_a_trial_that_fails_ejects_at_once_and_for_longer() -> None:
    out = failing(WELL, 5, now=100.0)

    again = RULE.failed(out, now=131.0, out=0, of=6)

    assert again.ejected_until == 131.0 + 60.0
    assert RULE.failed(again, now=200.0, out=0, of=6).ejected_until == 200.0 + 120.0


def test_a_trial_that_succeeds_brings_it_back() -> None:
    back = RULE.succeeded(failing(WELL, 5, now=100.0), now=131.0)

    assert not back.is_out(131.0)
    assert not back.is_on_trial(131.0)
    assert back.returned_at == 131.0
    assert failing(back, 5, now=140.0).ejected_until == 140.0 + 60.0, "it has been out lately"


def test_what_began_before_the_ejection_proves_nothing() -> None:
    out = failing(WELL, 5, now=100.0)

    assert RULE.succeeded(out, now=101.0) == out
    assert RULE.failed(out, now=101.0, out=0, of=6).ejected_until == out.ejected_until


def test_good_times_are_credited() -> None:
    back = replace(RULE.succeeded(failing(WELL, 5, now=100.0), now=131.0), count=3)

    assert failing(back, 5, now=131.0 + 299).ejected_until == 131.0 + 299 + 240
    assert failing(back, 5, now=131.0 + 601).ejected_until == 131.0 + 601 + 60


def test_no_ejection_lasts_longer_than_the_longest() -> None:
    standing = replace(WELL, count=99)

    assert failing(standing, 5, now=100.0).ejected_until == 100.0 + RULE.longest_seconds


def test_a_lone_endpoint_is_never_ejected() -> None:
    assert not failing(WELL, 50, now=100.0, pool=1).is_out(100.0)


def test_one_on_trial_counts_as_out() -> None:
    out = failing(WELL, 5, now=100.0)

    assert count_out([out, WELL, out]) == 2
    assert not RULE.failed(failing(WELL, 4, now=200.0), now=200.0, out=1, of=2).is_out(200.0)


def test_a_share_of_nothing_ejects_none() -> None:
    rule = Ejection(most=0.0)
    standing = WELL
    for _ in range(50):
        standing = rule.failed(standing, now=1.0, out=0, of=10)

    assert standing.ejected_until == 0.0


def used_up(standing: Standing, times: int, *, seconds: float, out: int, pool: int) -> Standing:
    for _ in range(times):
        standing = RULE.failed(standing, now=100.0, out=out, of=pool, used_up_seconds=seconds)
    return standing


def test_an_account_that_is_used_up_is_out_for_as_long_as_it_says() -> None:
    """B2"""
    assert not used_up(WELL, 2, seconds=900, out=0, pool=2).is_out(100.0)
    assert used_up(WELL, 3, seconds=900, out=0, pool=2).ejected_until == 1000.0
    assert used_up(WELL, 3, seconds=10, out=0, pool=2).ejected_until == 130.0, "the usual time"
    assert used_up(WELL, 3, seconds=1e9, out=0, pool=2).ejected_until == 3700.0, "then a trial"


def test_more_than_half_may_be_used_up_but_the_last_one_stays() -> None:
    """B2"""
    assert used_up(WELL, 3, seconds=900, out=1, pool=3).is_out(100.0)
    assert not used_up(WELL, 3, seconds=900, out=2, pool=3).is_out(100.0)
    assert not used_up(WELL, 3, seconds=900, out=0, pool=1).is_out(100.0)


def test_a_trial_that_is_still_used_up_doubles_the_time() -> None:
    """B2"""
    out = used_up(WELL, 3, seconds=30, out=0, pool=2)
    for at, lasts in ((131.0, 60.0), (200.0, 120.0), (400.0, 240.0), (700.0, 480.0)):
        out = RULE.failed(out, now=at, out=0, of=2, used_up_seconds=30)

        assert out.ejected_until == at + lasts


def test_a_trial_that_fails_keeps_out_a_server_that_answers_no_probe() -> None:
    """B7: even the last one, which the probes bring back."""
    on_trial = Standing(ejected_until=100.0)

    assert RULE.failed(on_trial, now=100.0, out=0, of=1, probes_fail=True).ejected_until == 130.0
    assert RULE.failed(on_trial, now=100.0, out=0, of=1).ejected_until == 0.0


@given(
    pool=st.integers(1, 9),
    most=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    events=st.lists(
        st.tuples(st.integers(0, 8), st.booleans(), st.floats(0.0, 40.0)), max_size=200
    ),
)
def test_never_more_than_its_share_of_a_pool_is_out(
    pool: int, most: float, events: list[tuple[int, bool, float]]
) -> None:
    rule = Ejection(failures=2, most=most)
    standings, now = [WELL] * pool, 1000.0
    for place, succeeded, passed in events:
        now += passed
        who = place % pool
        others = [s for n, s in enumerate(standings) if n != who]
        if succeeded:
            standings[who] = rule.succeeded(standings[who], now=now)
        else:
            standings[who] = rule.failed(standings[who], now=now, out=count_out(others), of=pool)

        assert count_out(standings) <= most * pool
        assert standings[who].ejected_until <= now + rule.longest_seconds


@pytest.mark.parametrize(("pool", "allowed"), [(1, 0), (2, 1), (3, 1), (4, 2), (7, 3)])
def test_half_of_a_pool_is_rounded_down(pool: int, allowed: int) -> None:
    assert [RULE.may_eject(out, pool) for out in range(allowed + 1)] == [True] * allowed + [False]
