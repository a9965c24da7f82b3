"""Figures for pages: a moment old at most, and none while Valkey is away."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import redis

from balancing.live import occupancy
from balancing.live.occupancy import Occupancy, live_state, slots_in_use
from balancing.live.state import EMPTY
from balancing.models import Endpoint


class Away(redis.Redis):
    """A Valkey that refuses every connection."""

    def __init__(self) -> None:
        super().__init__(port=9, socket_connect_timeout=1)


@pytest.mark.django_db
def test_rows_of_a_page_share_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked = 1000.0, []

    def count(ids: Sequence[int]) -> dict[int, int]:
        asked.append(list(ids))
        return {}

    monkeypatch.setattr(occupancy, "slots_in_use", count)
    row = Endpoint.objects.create(name="e", base_url="http://e/v1", model_names=["m"])
    seen = Occupancy(clock=lambda: now)

    assert (seen.slots(), seen.live(row.pk)) == ({}, EMPTY)
    assert asked == [[row.pk]]

    now += 1.0
    seen.slots()
    assert asked == [[row.pk]] * 2


def test_without_valkey_there_are_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(occupancy, "valkey_of_pages", Away)

    assert (slots_in_use([1]), live_state([1])) == ({}, {})
    assert (slots_in_use([]), live_state([])) == ({}, {})
