"""A job under a worker's lease."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID


@dataclass(slots=True)
class Claimed:
    """A job under this worker's lease, in the order of `sql/claim.sql`'s columns.

    Instants are PostgreSQL's, which one clock for all hosts judges by: `started_at` is that of the
    claim, and this host only counts the seconds since then.
    """

    id: UUID
    level: int
    lease_token: UUID
    attempts: int
    max_attempts: int
    model: str
    api: str
    source: str
    stream: bool
    origin: str
    request_id: str
    flow_id: int
    sequence_key: UUID | None
    cost: float
    created_at: datetime
    started_at: datetime
    deadline_at: datetime | None
    affinity: str
    allow_fallback: bool
    body: str
    claimed_at: float = field(default_factory=time.monotonic)

    @property
    def now(self) -> datetime:
        """PostgreSQL's time, as far as this host knows it."""
        return self.started_at + timedelta(seconds=time.monotonic() - self.claimed_at)

    @property
    def seconds_left(self) -> float:
        """Until the deadline; infinite without one."""
        deadline = self.deadline_at
        return math.inf if deadline is None else (deadline - self.now).total_seconds()

    @property
    def lease(self) -> str:
        """The member under which the job's slot is held; its cost is freed with it."""
        return f"{self.lease_token.hex}/{int(self.cost)}"

    @property
    def waited_seconds(self) -> float:
        """From submit to claim."""
        return max(0.0, (self.started_at - self.created_at).total_seconds())
