"""What an endpoint's live state says of it."""

from __future__ import annotations

from balancing.live.state import EMPTY, Live


def test_a_peak_falls_on_its_own() -> None:
    seen = Live(first_token=1.0, peak=9.0, first_token_at=1000.0)

    assert seen.peak_seconds(1000.0) == 9.0
    assert 1.0 < seen.peak_seconds(1030.0) < 1.5


def test_a_word_for_it() -> None:
    now = 1000.0
    words = [
        live.health(now)
        for live in (
            EMPTY,
            Live(healthy=False, ejected_until=2000.0),
            Live(ejected_until=1001.0),
            Live(ejected_until=999.0),
            Live(returned_at=990.0),
            Live(returned_at=900.0),
        )
    ]
    assert words == ["healthy", "unhealthy", "ejected", "trial", "returning", "healthy"]
