"""A leased job judges time by the clock that claimed it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.hot_path import claimed


@pytest.mark.parametrize("skew", [-15, 0, 15])
def test_d7_a_host_whose_clock_is_off_gives_a_job_its_whole_time(skew: int) -> None:
    started = claimed().started_at + timedelta(seconds=skew)

    job = claimed(started_at=started, deadline_at=started + timedelta(seconds=10))

    assert 9.5 < job.seconds_left <= 10
    assert 0 <= (job.now - started).total_seconds() < 0.5


def test_without_a_deadline_time_never_ends() -> None:
    assert claimed().seconds_left == float("inf")
