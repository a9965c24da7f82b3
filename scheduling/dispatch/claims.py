"""A worker's dealings with its leased jobs: claim, heartbeat, finish, retry, give back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
import structlog

from scheduling.models import Api, Attempt, Status
from scheduling.policies.estimates import WINDOW
from scheduling.spending import NOTHING, Spent
from scheduling.statements import CLAIM, FINISH, GIVE_BACK, HEARTBEAT, NOTE, RETRY, STORED
from stores.group_commit import Grouped
from stores.postgres import UNSTORABLE, Database, fetch

log = structlog.get_logger(__name__)
ALL_APIS = frozenset(Api.values)
WAITING = """
select exists (select 1 from scheduling_job where status = 'queued' and level = %(level)s),
       exists (select 1 from unnest(%(models)s::text[], %(apis)s::text[]) as r(model, apis)
                 join scheduling_job j on j.model = r.model
                  and j.status = 'queued' and j.level = %(level)s
                  and j.api = any(string_to_array(r.apis, ',')))
"""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """How a job ended; `outcome` is its last attempt's, empty when none was made.

    `error_message` is for the client; `detail` is for operators, on the attempt.
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
    detail: str = ""
    first_token_at: datetime | None = None
    result: str = ""
    text: str = ""
    why: str | None = None
    spent_prompt: int = 0
    spent_completion: int = 0
    spent_micros: int | None = None
    spent_estimated: bool = False


class Claims:
    """Statements on behalf of one worker process.

    Raises, in every method but `finish`: psycopg.OperationalError when PostgreSQL is away.
    """

    def __init__(self, database: Database, *, worker: str, lease_seconds: float) -> None:
        self._database = database
        self._worker = worker[:100]
        self._lease_seconds = lease_seconds
        self._finish = Grouped(self._finish_group, alone=UNSTORABLE)

    async def claim(
        self,
        level: int,
        *,
        limit: int,
        room: Mapping[str, int],
        apis: Mapping[str, frozenset[str]] | None = None,
    ) -> list[Claimed]:
        """Up to `limit` next jobs of a level.

        Args:
            room: model -> slots free for it.
            apis: model -> by which APIs it can be asked there; every one where it says nothing.
        """
        rows = await fetch(
            self._database.relaxed,
            CLAIM,
            {
                "level": level,
                "limit": limit,
                "models": list(room),
                "slots": list(room.values()),
                "apis": _listed(room, apis),
                "worker": self._worker,
                "lease_seconds": self._lease_seconds,
            },
        )
        return [Claimed(*row) for row in rows]

    async def waiting(
        self,
        level: int,
        models: Sequence[str],
        apis: Mapping[str, frozenset[str]] | None = None,
    ) -> tuple[bool, bool]:
        """Whether anything is queued at a level, and whether for one of these models and APIs."""
        values = {"level": level, "models": list(models), "apis": _listed(models, apis)}
        rows = await fetch(self._database.relaxed, WAITING, values)
        return bool(rows[0][0]), bool(rows[0][1])

    async def heartbeat(self, jobs: Sequence[Claimed]) -> dict[UUID, bool]:
        """Renew leases: job id -> whether cancellation was asked; absent ids lost theirs."""
        leases = {**_leases(jobs), "lease_seconds": self._lease_seconds}
        return dict(await fetch(self._database.relaxed, HEARTBEAT, leases))

    async def give_back(self, jobs: Sequence[Claimed], *, wrote: bool) -> int:
        """Return jobs to the queue as if never claimed; how many were still ours.

        Args:
            wrote: whether the attempt has written to the jobs' streams.
        """
        values = {**_leases(jobs), "wrote": [wrote] * len(jobs)}
        return len(await fetch(self._database.durable, GIVE_BACK, values))

    async def retry(
        self,
        job: Claimed,
        *,
        delay_seconds: float,
        endpoint_id: int,
        endpoint_name: str,
        error_code: str,
        error_message: str,
        public: str,
        first_token_at: datetime | None,
        why: str | None,
        spent: Spent = NOTHING,
    ) -> bool:
        """End the current attempt; hold the job for `delay_seconds`, or keep it when zero.

        Returns:
            Whether the lease was still ours.
        """
        rows = await fetch(
            self._database.durable,
            RETRY,
            {
                "id": job.id,
                "lease_token": job.lease_token,
                "number": job.attempts,
                "delay_seconds": delay_seconds,
                "endpoint_id": endpoint_id,
                "endpoint_name": endpoint_name,
                "error_code": error_code,
                "error_message": _storable(error_message),
                "public": public,
                "first_token_at": first_token_at,
                "why": why,
                "spent_prompt": spent.prompt_tokens,
                "spent_completion": spent.completion_tokens,
                "spent_micros": spent.micros,
                "spent_estimated": spent.estimated,
            },
        )
        return bool(rows)

    async def note(
        self,
        job: Claimed,
        *,
        endpoint_id: int,
        endpoint_name: str,
        outcome: Attempt.Outcome,
        error_code: str,
        error_message: str,
        seconds: float,
        why: str,
    ) -> None:
        """Keep a record of a call of this attempt that did not decide it, `seconds` long."""
        values = {
            "id": job.id,
            "number": job.attempts,
            "endpoint_id": endpoint_id,
            "endpoint_name": endpoint_name,
            "worker": self._worker,
            "outcome": outcome.value,
            "error_code": error_code[:40],
            "error_message": _storable(error_message),
            "seconds": seconds,
            "why": why,
        }
        await fetch(self._database.relaxed, NOTE, values)

    async def finish(self, outcome: Finish) -> bool:
        """Store how a job ended, waiting out an absent server; False when its lease was lost."""
        pause = 0.1
        while True:
            try:
                return await self._finish(outcome)
            except psycopg.OperationalError as error:
                log.warning("finish.waits", job=str(outcome.id), error=str(error))
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)

    async def _finish_group(self, outcomes: Sequence[Finish]) -> list[bool]:
        rows = await fetch(self._database.durable, FINISH, finishes(outcomes))
        stored = {row[0] for row in rows}
        if len(stored) < len(outcomes):
            # A connection may have broken after the commit: then this is the second time.
            missing = [o for o in outcomes if o.id not in stored]
            rows = await fetch(self._database.durable, STORED, _leases(missing))
            stored.update(row[0] for row in rows)
        return [outcome.id in stored for outcome in outcomes]


def _leases(jobs: Sequence[Claimed] | Sequence[Finish]) -> dict[str, list[UUID]]:
    return {"id": [job.id for job in jobs], "lease_token": [job.lease_token for job in jobs]}


def _listed(models: Iterable[str], apis: Mapping[str, frozenset[str]] | None) -> list[str]:
    """The APIs of each model, separated by commas: PostgreSQL has no arrays of uneven ones."""
    known = apis or {}
    return [",".join(known.get(model, ALL_APIS)) for model in models]


def finishes(outcomes: Sequence[Finish]) -> dict[str, Any]:
    """What `sql/finish.sql` takes; PostgreSQL's text has no NUL, which an endpoint may send."""
    text = orjson.dumps(outcomes).decode()
    if "\\u0000" in text:
        clean = [{name: _storable(value) for name, value in asdict(o).items()} for o in outcomes]
        text = orjson.dumps(clean).decode()
    return {"outcomes": text, "count": len(outcomes), "window": WINDOW}


def _storable(value: Any) -> Any:
    """PostgreSQL's text has no NUL."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) and "\0" in value else value
