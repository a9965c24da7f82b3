"""A job in a worker process: what is known of it between its claim and its end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from scheduling import metrics
from scheduling.claims import Claimed
from scheduling.outbox import Feed
from scheduling.pool import Bound

# Why a running job's task is cancelled; the reason decides what becomes of the job.
CANCELLED, LOST, SHUTDOWN = "cancelled", "lost", "shutdown"


@dataclass(slots=True)
class Running:
    """A job in this process.

    `stop` says why its task is being cancelled; once `ending`, its outcome is being stored and
    nothing stops it any more: its row is no longer `processing`, which a heartbeat would misread.
    """

    job: Claimed
    bound: Bound
    feed: Feed
    binding: asyncio.Task[None]
    task: asyncio.Task[Any] | None = None
    stop: str = ""
    spoke: bool = False
    pieces: int = 0
    holds_slot: bool = True
    ending: bool = False
    tried: set[int] = field(default_factory=set)
    first_token_at: datetime | None = None

    @property
    def level(self) -> str:
        return metrics.LEVEL_NAMES[self.job.level]

    @property
    def waited_seconds(self) -> float:
        return max(0.0, (self.job.started_at - self.job.created_at).total_seconds())

    @property
    def out_of_time(self) -> bool:
        deadline = self.job.deadline_at
        return deadline is not None and deadline.timestamp() <= time.time()
