"""A job in a worker process: what is known of it between its claim and its end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from balancing.errors import Busy, CallError, DeadlinePassed
from scheduling import metrics
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.slot import Placement
from scheduling.execution.call import EndpointCall
from scheduling.models import Source
from scheduling.outbox import JobStream

# Calls of one job after which a busy endpoint uses up attempts, too: nothing spins for ever.
MOST_CALLS = 200
# Timers fire some milliseconds early, and a call's end is noticed some milliseconds late.
DEADLINE_SLACK_SECONDS = 0.05


class Stop(Enum):
    """Why a running job's task is cancelled; the reason decides what becomes of the job."""

    CANCELLED = "cancelled"
    LOST = "lost"
    SHUTDOWN = "shutdown"


@dataclass(slots=True)
class Run:
    """A job in this process.

    Once `ending`, its outcome is being stored and nothing stops it any more: its row is no longer
    `processing`, which a heartbeat would take for a lost lease.

    Attributes:
        call: the call whose words count.
        hedge: a second call that may take its place.
        stop: why its task is being cancelled.
        spoke: whether the client has received content.
        pieces: how many pieces of content came, about a token each.
        tried: endpoints that failed it.
        told: endpoints that asked to be left alone, and until when by the monotonic clock.
        doubted: endpoints that failed it, where that may have been the request's fault.
    """

    job: Claimed
    call: EndpointCall
    stream: JobStream
    hedge: EndpointCall | None = None
    task: asyncio.Task[Any] | None = None
    stop: Stop | None = None
    spoke: bool = False
    pieces: int = 0
    ending: bool = False
    tried: set[int] = field(default_factory=set)
    told: dict[int, float] = field(default_factory=dict)
    doubted: set[int] = field(default_factory=set)
    first_token_at: datetime | None = None

    @property
    def placement(self) -> Placement:
        return self.call.placement

    @property
    def slots(self) -> list[tuple[int, str]]:
        """Endpoints and leases of the slots it holds."""
        return [
            (call.target.id, call.slot.lease)
            for call in (self.call, self.hedge)
            if call is not None and call.slot.is_held
        ]

    @property
    def level(self) -> str:
        return metrics.LEVEL_NAMES[self.job.level]

    @property
    def waited_seconds(self) -> float:
        return self.job.waited_seconds

    @property
    def is_told(self) -> bool:
        """Whether it is a plain stream whose client has text: no other attempt may answer it."""
        return self.spoke and self.job.stream and self.job.source == Source.OPENAI

    @property
    def out_of_time(self) -> bool:
        return self.seconds_left <= DEADLINE_SLACK_SECONDS

    def is_over(self, error: CallError) -> bool:
        """Whether a call ended because the job's own time was up: that is no endpoint's fault."""
        return self.out_of_time or isinstance(error, DeadlinePassed)

    @property
    def seconds_left(self) -> float:
        """Until the job's deadline; infinite without one."""
        return self.job.seconds_left

    def is_free(self, error: CallError) -> bool:
        """Whether an attempt that ended so is given back: a busy endpoint is nobody's fault."""
        return isinstance(error, Busy) and self.job.attempts < MOST_CALLS

    def count(self, error: CallError) -> None:
        """Note what a failed call means for the attempts that are left, and for its endpoint."""
        if self.is_free(error):
            self.job.max_attempts += 1
        if error.retry_after_seconds > 0.0:
            self.told[self.call.target.id] = time.monotonic() + error.retry_after_seconds

    def begin_attempt(self) -> None:
        """The next attempt: nothing was heard of it yet."""
        self.job.attempts += 1
        self.stream.attempt, self.stream.seq = self.job.attempts, 0
        self.spoke, self.pieces, self.first_token_at = False, 0, None
