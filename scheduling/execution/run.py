"""A job in a worker process: what is known of it between its claim and its end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduling import metrics
from scheduling.dispatch.claims import Claimed
from scheduling.dispatch.pool import Bound
from scheduling.execution.call import Side
from scheduling.outbox import JobStream

# Why a running job's task is cancelled; the reason decides what becomes of the job.
CANCELLED, LOST, SHUTDOWN = "cancelled", "lost", "shutdown"


@dataclass(slots=True)
class Running:
    """A job in this process.

    `stop` says why its task is being cancelled; once `ending`, its outcome is being stored and
    nothing stops it any more: its row is no longer `processing`, which a heartbeat would misread.

    Attributes:
        side: the call whose words count.
        hedge: a second call that may take its place.
    """

    job: Claimed
    side: Side
    feed: JobStream
    hedge: Side | None = None
    task: asyncio.Task[Any] | None = None
    stop: str = ""
    spoke: bool = False
    pieces: int = 0
    ending: bool = False
    tried: set[int] = field(default_factory=set)
    first_token_at: datetime | None = None

    @property
    def bound(self) -> Bound:
        return self.side.bound

    @property
    def slots(self) -> list[tuple[int, str]]:
        """Endpoints and leases of the slots it holds."""
        return [
            (side.bound.target.id, side.lease)
            for side in (self.side, self.hedge)
            if side is not None and side.holds_slot
        ]

    @property
    def level(self) -> str:
        return metrics.LEVEL_NAMES[self.job.level]

    @property
    def waited_seconds(self) -> float:
        return self.job.waited_seconds

    @property
    def out_of_time(self) -> bool:
        deadline = self.job.deadline_at
        return deadline is not None and deadline.timestamp() <= time.time()
