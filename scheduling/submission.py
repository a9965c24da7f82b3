"""What a door hands over to be run, and what it gets back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

from llmqueue_project.config import load
from scheduling.ids import uuid7
from scheduling.models import Priority, Status

DEFAULT_OUTPUT_TOKENS = 256
INPUT_WEIGHT, OUTPUT_WEIGHT = 1.0, 2.0
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One request, validated and classified, ready to be stored.

    Attributes:
        body: the JSON object that goes upstream, as text, without fields of our own.
        cost: estimated weighted tokens (`estimate_cost`).
        origin: mailbox of the web process that waits for the answer; empty when none does.
        priority_reason: why it has its level, for people; at most 200 characters.
        affinity: what should meet one endpoint again (`affinity_of`); or empty.
        allow_fallback: whether another model may answer when no endpoint of its own can.
    """

    level: Priority
    model: str
    body: str
    flow_id: int
    tenant_id: UUID
    cost: float
    source: str
    id: UUID = field(default_factory=uuid7)
    kind: str = "chat"
    stream: bool = False
    user_id: UUID | None = None
    due_at: datetime | None = None
    deadline_at: datetime | None = None
    max_attempts: int | None = None
    sequence_key: UUID | None = None
    origin: str = ""
    request_id: str = ""
    priority_reason: str = ""
    affinity: str = ""
    allow_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a job is stored: it will now end exactly once."""

    job_id: UUID
    status: Status
    held_reason: str
    fair_tag: float


_COLUMNS = tuple(
    name for name in JobSpec.__dataclass_fields__ if name not in {"level", "max_attempts"}
)


def parameters(specs: Sequence[JobSpec]) -> dict[str, list[Any]]:
    """The arrays that `sql/submit.sql` takes, one element a job."""
    arrays: dict[str, list[Any]] = {
        name: [getattr(spec, name) for spec in specs] for name in _COLUMNS
    }
    arrays["level"] = [int(spec.level) for spec in specs]
    default = load().scheduling.max_attempts
    arrays["max_attempts"] = [spec.max_attempts or default for spec in specs]
    return arrays


def receipts(rows: Iterable[tuple[UUID, str, str, float]]) -> dict[UUID, Receipt]:
    return {row[0]: Receipt(row[0], Status(row[1]), row[2], row[3]) for row in rows}


def affinity_of(tenant_id: UUID, name: str) -> str:
    """A conversation's or session's name as a key of fixed length; empty when there is none."""
    if not name:
        return ""
    return blake2b(f"{tenant_id}\0{name}".encode(), digest_size=16).hexdigest()


def estimate_cost(body: str, max_tokens: int | None = None) -> float:
    """Weighted tokens: input x 1 + expected output x 2, the Virtual Token Counter's weights.

    The input is estimated at four characters a token. Source: Sheng et al., "Fairness in Serving
    Large Language Models", OSDI 2024.
    """
    output = min(max_tokens or DEFAULT_OUTPUT_TOKENS, 4 * DEFAULT_OUTPUT_TOKENS)
    return actual_cost(max(1, len(body) // _CHARS_PER_TOKEN), output)


def actual_cost(prompt_tokens: int, completion_tokens: int) -> float:
    """What a finished request cost, in the same unit."""
    return INPUT_WEIGHT * prompt_tokens + OUTPUT_WEIGHT * completion_tokens
