"""A job under a worker's lease."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(slots=True)
class Claimed:
    """A job under this worker's lease, in the order of `sql/claim.sql`'s columns."""

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

    @property
    def lease(self) -> str:
        """The member under which the job's slot is held; its cost is freed with it."""
        return f"{self.lease_token.hex}/{int(self.cost)}"

    @property
    def waited_seconds(self) -> float:
        """From submit to claim."""
        return max(0.0, (self.started_at - self.created_at).total_seconds())
