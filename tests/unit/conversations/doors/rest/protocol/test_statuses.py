"""Names of statuses at the REST door."""

from __future__ import annotations

from conversations.doors.rest.protocol import statuses
from scheduling.models import Status


def test_statuses_are_all_named() -> None:
    assert {name for status in Status for name in [statuses.shown(status)]} == set(statuses.NAMES)
    assert statuses.meant("pending") == ["queued", "held"]
    assert statuses.meant("failed") == ["failed"]
