"""What does a door hand over to be run, and what does it get back?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
from psycopg.types.json import Json

from llmqueue_project.config import configuration
from scheduling.models import Api, Priority, Source, Status
from scheduling.policies.fairness import output_tokens_of, weighted_tokens
from stores.ids import uuid7

CHARS_PER_TOKEN = 4
# Of an attached file in base64: its tokens, whatever it is, and more by its length.
_ATTACHED, _FILE_TOKENS, _FILE_CHARS_PER_TOKEN = ";base64,", 500, 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """One request, validated and classified, to be stored as a job.

    Attributes:
        body: the JSON object that goes upstream, as text, without fields of our own.
        cost: estimated weighted tokens (`scheduling/submit/estimates.py`).
        origin: mailbox of the web process that waits for the answer; empty when none does.
        priority_reason: why it has its level, in words; at most 200 characters.
        backlog: whether it is held until its level has room; then it is charged and joins in fair
            order.
        affinity: jobs of the same affinity prefer one endpoint (`affinity_of`); or empty.
        allow_fallback: whether another model may answer when no endpoint of its own model can.
    """

    level: Priority
    model: str
    body: str
    flow_id: int
    tenant_id: UUID
    cost: float
    source: Source
    id: UUID = field(default_factory=uuid7)
    api: Api = Api.CHAT
    stream: bool = False
    user_id: UUID | None = None
    due_at: datetime | None = None
    deadline_at: datetime | None = None
    max_attempts: int | None = None
    sequence_key: UUID | None = None
    origin: str = ""
    request_id: str = ""
    priority_reason: str = ""
    backlog: bool = False
    affinity: str = ""
    allow_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a job is stored, and so will end exactly once."""

    job_id: UUID
    status: Status
    held_reason: str
    fair_tag: float


COLUMNS = tuple(JobSpec.__dataclass_fields__)


def parameters(specs: Sequence[JobSpec]) -> dict[str, Any]:
    """What `sql/submit.sql` takes for jobs that `sql/given.sql` reads."""
    return {
        # Bytes, which the driver sends as they are: text would be encoded on the event loop.
        "jobs": Json(orjson.dumps(specs), dumps=bytes),
        "max_attempts": configuration().scheduling.max_attempts,
        "sent_at": datetime.now(UTC),
    }


def row(spec: JobSpec, place: int) -> tuple[Any, ...]:
    """One job as a row of `sql/staging.sql`: `COLUMNS`, then its place in its group."""
    values = {name: getattr(spec, name) for name in COLUMNS}
    values["level"] = int(spec.level)
    values |= {"source": str(spec.source), "api": str(spec.api)}
    values["max_attempts"] = spec.max_attempts or configuration().scheduling.max_attempts
    return (*values.values(), place)


def receipts(rows: Iterable[tuple[UUID, str, str, float]]) -> dict[UUID, Receipt]:
    return {row[0]: Receipt(row[0], Status(row[1]), row[2], row[3]) for row in rows}


def input_tokens(body: str) -> int:
    """The input tokens of a request, estimated from its length."""
    return max(1, input_chars(body) // CHARS_PER_TOKEN)


def input_chars(body: str) -> int:
    """The characters of a request, its attached files (data URLs) counted as fewer.

    A file is no text: a photo of 4 million characters is about a thousand tokens to a model.
    """
    chars, begin = len(body), body.find(_ATTACHED)
    while begin >= 0:
        end = body.find('"', begin)
        if end < 0:
            break
        length = end - begin
        counted = CHARS_PER_TOKEN * (_FILE_TOKENS + length // _FILE_CHARS_PER_TOKEN)
        if counted < length and body.find(" ", begin, end) < 0:
            chars -= length - counted
        begin = body.find(_ATTACHED, end)
    return chars


def estimated_tokens(body: str, cost: float) -> int:
    """The input and output tokens, together, of a request whose cost was estimated."""
    inputs = input_tokens(body)
    return round(inputs + output_tokens_of(cost, inputs))


def affinity_of(tenant_id: UUID, name: str) -> str:
    """The key of a conversation or session, of fixed length; empty when it has no name."""
    if not name:
        return ""
    return blake2b(f"{tenant_id}\0{name}".encode(), digest_size=16).hexdigest()


def estimate_cost(body: str, output_tokens: float) -> float:
    """The weighted tokens of a request; its input is estimated at four characters a token.

    Args:
        output_tokens: expected (`scheduling/submit/estimates.py`).
    """
    return weighted_tokens(input_tokens(body), output_tokens)


def actual_cost(prompt_tokens: int, completion_tokens: int) -> float:
    """The weighted tokens of a finished request."""
    return weighted_tokens(prompt_tokens, completion_tokens)
