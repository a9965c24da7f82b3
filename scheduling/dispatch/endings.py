"""What is written down when a job, an attempt or a further call ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from scheduling.models import Attempt, Status
from scheduling.policies.estimates import WINDOW
from scheduling.spending import NOTHING, Spent


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a job ended; `outcome` is its last attempt's, empty when none was made.

    `error_message` is for the client; `detail` is for operators, on the attempt. `error_status` is
    the HTTP status of an endpoint's refusal, 0 without one. `result` is None where it is stored
    apart (`large_results.py`).
    """

    id: UUID
    lease_token: UUID
    status: Status
    number: int
    outcome: Attempt.Outcome | str = ""
    endpoint_id: int | None = None
    endpoint_name: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    actual_cost: float | None = None
    error_code: str = ""
    error_message: str = ""
    error_status: int = 0
    detail: str = ""
    first_token_at: datetime | None = None
    result: str | None = ""
    text: str = ""
    why: str | None = None
    spent_prompt: int = 0
    spent_completion: int = 0
    spent_micros: int | None = None
    spent_estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """An attempt that ended without an answer, while its job goes on.

    Attributes:
        error_message: for operators, on the attempt.
        public: for the client, on the job.
        why: how the endpoint was chosen, as JSON text.
        uses_attempt: whether it counts among the job's allowed attempts.
    """

    endpoint_id: int
    endpoint_name: str
    error_code: str
    error_message: str
    public: str
    uses_attempt: bool = True
    first_token_at: datetime | None = None
    why: str | None = None
    spent: Spent = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class SideCall:
    """A call of an attempt that did not decide it: the loser of a hedge; `seconds` long."""

    endpoint_id: int
    endpoint_name: str
    outcome: Attempt.Outcome
    error_code: str
    error_message: str
    seconds: float
    why: str


def finishes(outcomes: Sequence[Finish]) -> dict[str, Any]:
    """What `sql/finish.sql` takes; PostgreSQL's text has no NUL, which an endpoint may send."""
    text = orjson.dumps(outcomes).decode()
    if "\\u0000" in text:
        clean = [{name: storable(value) for name, value in asdict(o).items()} for o in outcomes]
        text = orjson.dumps(clean).decode()
    return {"outcomes": text, "count": len(outcomes), "window": WINDOW}


def storable(value: Any) -> Any:
    """A value without NUL, which PostgreSQL's text cannot hold."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
