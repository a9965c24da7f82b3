"""Backoff between attempts."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies.retry import backoff_seconds


def waits(attempt: int, *, retry_after: float = 0.0, samples: int = 400) -> list[float]:
    rng = random.Random(7)
    return [
        backoff_seconds(
            attempt, base_seconds=1, cap_seconds=8, retry_after_seconds=retry_after, rng=rng
        )
        for _ in range(samples)
    ]


def test_the_ceiling_doubles_up_to_the_cap() -> None:
    highest = [max(waits(attempt)) for attempt in (1, 2, 3, 4, 5, 50)]

    for seen, ceiling in zip(highest, (1, 2, 4, 8, 8, 8), strict=True):
        assert 0.9 * ceiling < seen <= ceiling


def test_the_jitter_is_full() -> None:
    seconds = waits(3)

    assert min(seconds) < 0.2
    assert 1.7 < sum(seconds) / len(seconds) < 2.3


def test_what_the_endpoint_asked_for_is_the_least() -> None:
    seconds = waits(1, retry_after=20.0)

    assert min(seconds) >= 20
    assert max(seconds) <= 21


@given(
    attempt=st.integers(0, 60),
    base=st.floats(0.01, 10),
    cap=st.floats(0.01, 100),
    retry_after=st.floats(0, 3600),
    seed=st.integers(),
)
def test_a_delay_is_never_zero_nor_past_its_bounds(
    attempt: int, base: float, cap: float, retry_after: float, seed: int
) -> None:
    seconds = backoff_seconds(
        attempt,
        base_seconds=base,
        cap_seconds=cap,
        retry_after_seconds=retry_after,
        rng=random.Random(seed),
    )

    assert seconds >= 0.05
    assert retry_after <= seconds <= max(0.05, retry_after + cap)
