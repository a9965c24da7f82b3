"""A late-acked chore that is under way until the test lets it end, for tests of the transport."""

from __future__ import annotations

import time
from pathlib import Path

from celery import shared_task

SLOW = "tests.slow_chore"
POLL_SECONDS = 0.05


@shared_task(name=SLOW, acks_late=True)
def slow_chore(name: str) -> None:
    """Touch `<name>.begun`, wait for `<name>.release`, touch `<name>`."""
    path = Path(name)
    path.with_suffix(".begun").touch()
    while not path.with_suffix(".release").exists():
        time.sleep(POLL_SECONDS)
    path.touch()
