"""What can go wrong while the embedded stack starts.

EmbeddedError           anything below; its text tells the reader what to do
    AlreadyRunning      another launcher holds the state directory
    PartFailed          a part did not start; carries the log to show
"""

from __future__ import annotations

from pathlib import Path


class EmbeddedError(Exception):
    """The stack cannot go on; the message says what to do."""


class AlreadyRunning(EmbeddedError):
    """Another launcher runs on this state directory."""


class PartFailed(EmbeddedError):
    """One part did not start or did not answer; `log` is where its last words are."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log
