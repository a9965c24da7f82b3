"""Waiting for what other processes do: asked again and again, until it is so or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

PATIENCE_SECONDS = 60.0
"""Long enough for a busy machine to start a process; a test that needs less says so."""


def eventually(
    check: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS, what: str = ""
) -> Any:
    """The first true answer of `check`.

    Raises:
        AssertionError: there was none in time; `what` says what was waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or check}")
        time.sleep(0.05)
