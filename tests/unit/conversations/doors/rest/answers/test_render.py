"""What a message says of its place and its wait, and why it is held."""

from __future__ import annotations

from typing import Any

import pytest

from conversations.doors.rest.answers import render
from scheduling.models import Job
from scheduling.waiting.outlook import Outlook


def shown(outlook: Outlook | None = None, **fields: Any) -> tuple[Any, Any, Any]:
    values = {"level": 2, "model": "m", **fields}
    found = render._request(Job(**values), outlook)
    return found["position"], found["estimated_wait"], found["held_reason"]


@pytest.mark.parametrize("reason", ["due", "turn", "paused", "backlog"])
def test_what_is_held_says_why_and_claims_nothing(reason: str) -> None:
    assert shown(status="held", held_reason=reason) == (None, None, reason)


def test_a_retry_that_waits_for_its_time_is_held_for_backoff() -> None:
    assert shown(status="held", held_reason="due", attempts=1) == (None, None, "backoff")


def test_what_waits_at_a_paused_level_has_a_place_and_no_wait() -> None:
    paused = Outlook(4, None, is_paused=True)

    assert shown(paused, status="queued") == (4, None, "paused")


def test_what_cannot_be_told_is_null_and_what_runs_does_not_wait() -> None:
    assert shown(None, status="queued") == (None, None, None)
    assert shown(Outlook(1, 0.5), status="queued") == (1, 0.5, None)
    assert shown(None, status="processing") == (0, 0.0, None)
