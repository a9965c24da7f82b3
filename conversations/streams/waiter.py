"""Which entries has a client got that waits for a job, and which are still in its box?"""

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
    """One event of a job: its attempt, its number in the attempt, and its name in the outbox."""

    attempt: int
    seq: int
    event: str
    data: str

    @property
    def mark(self) -> Mark:
        return (self.attempt, self.seq)


class Waiter:
    """One client that waits for one job: a box of entries that the listener fills.

    Attributes:
        mark: the last entry that the client has got.
        read: the last entry that was read of a followed stream.
        seen_ended: whether the job's row has been found ended, and nothing has come since.
        since: when the client began to wait; monotonic seconds.
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
        """Whether the client is slower than the job, so that its stream is not read further."""
        return len(self._box) >= MOST_UNTAKEN

    def deliver(self, entry: Entry) -> None:
        # While entries come, more may be on their way: a large answer takes seconds.
        self.seen_ended = False
        self._box.append(entry)
        if self._bell is not None and not self._bell.done():
            self._bell.set_result(None)

    async def take(self, timeout_seconds: float) -> list[Entry]:
        """The entries in the box, as soon as there are any; none after the timeout."""
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
