"""One client that waits for one job: the entries that have come, and where it stands."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

MOST_UNTAKEN = 1000
Mark = tuple[int, int]
START: Mark = (0, 0)


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a job: its attempt, its number in it, what it is (`scheduling.outbox`)."""

    attempt: int
    seq: int
    event: str
    data: str

    @property
    def mark(self) -> Mark:
        return (self.attempt, self.seq)


class Waiter:
    """One client waiting for one job: a box of entries, filled by the listener.

    `mark` is the last entry handed to the client, `read` the last one read of a followed stream.
    """

    __slots__ = ("_bell", "_box", "finished", "job_id", "mark", "read", "seen_ended", "since")

    def __init__(self, job_id: UUID, mark: Mark = START) -> None:
        self.job_id = job_id
        self.mark = self.read = mark
        self.finished = False
        self.seen_ended = False
        self.since = time.monotonic()
        self._box: list[Entry] = []
        self._bell: asyncio.Future[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether its client takes more slowly than the job speaks: read no further for now."""
        return len(self._box) >= MOST_UNTAKEN

    def deliver(self, entry: Entry) -> None:
        self._box.append(entry)
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def take(self, timeout_seconds: float) -> list[Entry]:
        """What came, as soon as something did; empty after the timeout."""
        if not self._box:
            loop = asyncio.get_running_loop()
            self._bell = loop.create_future()
            timer = loop.call_later(timeout_seconds, _ring, self._bell)
            try:
                await self._bell
            finally:
                timer.cancel()
                self._bell = None
        box, self._box = self._box, []
        return box


def _ring(bell: asyncio.Future[None]) -> None:
    if not bell.done():
        bell.set_result(None)
