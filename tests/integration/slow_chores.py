"""A late-acked chore that takes its time, for tests of the transport."""

from __future__ import annotations

import time
from pathlib import Path

from celery import shared_task

SLOW = "tests.slow_chore"


@shared_task(name=SLOW, acks_late=True)
def slow_chore(seconds: float, done: str) -> None:
    Path(done).with_suffix(".begun").touch()
    time.sleep(seconds)
    Path(done).touch()
