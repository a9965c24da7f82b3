"""Where do jobs stand, and how did they end? Rows that others read beside the hot path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import connection

from scheduling.models import Priority, Status
from stores.postgres import Database, fetch, read

# Primary key of scheduling_job.
_STATE = """
select id, status, case when held_reason = 'due' and attempts > 0 then 'backoff'
                        else held_reason end, level, model, fair_tag
  from scheduling_job where id = %(id)s
"""
# Primary keys of scheduling_job and scheduling_jobresult.
_ENDED = """
select j.id, j.status, j.attempts, j.error_code, j.error_message, j.stream,
       extract(epoch from j.started_at - j.created_at)::double precision,
       case when octet_length(r.body) < 1048576 then r.body end, r.text
  from scheduling_job j left join scheduling_jobresult r on r.job_id = j.id
 where j.id = any(%(ids)s::uuid[]) and j.status in ('completed', 'failed', 'cancelled', 'timeout')
"""
# Index job_sequence has the rows in flight and nothing else.
_STUCK = """
select distinct held.sequence_key
  from scheduling_job held
 where held.status = 'held' and held.held_reason = 'turn' and held.sequence_key is not null
   and not exists (select 1 from scheduling_job j
                    where j.sequence_key = held.sequence_key
                      and (j.status in ('queued', 'processing')
                           or j.status = 'held' and j.held_reason = 'paused'))
 limit %(limit)s
"""


# Primary key of scheduling_jobresult. As bytes, because a text would be copied once more.
_BODY = "select convert_to(body, 'UTF8') from scheduling_jobresult where job_id = %(id)s"


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as whoever follows it needs it; a retry that is not yet due is held for `backoff`."""

    id: UUID
    status: Status
    held_reason: str
    level: Priority
    model: str
    fair_tag: float


@dataclass(frozen=True, slots=True)
class EndedJob:
    """A job that has ended; `end` is the data of the final entry that a worker's outbox sends."""

    attempts: int
    end: str


async def state_of(database: Database, job_id: UUID) -> JobState | None:
    """
    Raises:
        psycopg.OperationalError: the server stayed away.
    """
    rows = await read(database.relaxed, _STATE, {"id": job_id})
    if not rows:
        return None
    identifier, status, held_reason, level, model, fair_tag = rows[0]
    return JobState(identifier, Status(status), held_reason, Priority(level), model, fair_tag)


async def ended(database: Database, ids: Sequence[UUID]) -> dict[UUID, EndedJob]:
    """Those of these jobs that have ended, by id.

    Raises:
        psycopg.OperationalError: the server is away.
    """
    rows = await fetch(database.relaxed, _ENDED, {"ids": list(ids)})
    return {row[0]: EndedJob(row[2], _end(row)) for row in rows}


async def stored_body(database: Database, job_id: UUID) -> bytes | None:
    """The answer of a completed job; None if it is gone.

    Raises:
        psycopg.OperationalError: the server is away.
    """
    async with database.relaxed.connection() as connection:
        cursor = await connection.execute(_BODY, {"id": job_id}, binary=True)
        row = await cursor.fetchone()
    return None if row is None else row[0]


def _end(row: tuple[Any, ...]) -> str:
    _, status, _, code, message, streamed, waited, body, text = row
    end = {
        "status": status,
        "code": code,
        "message": message,
        "queue_ms": round((waited or 0) * 1000),
        "endpoint": "",
        # The deltas of a streamed answer are in the job's stream; a large one is read apart.
        "body": None if streamed else body,
        "text": text,
    }
    return orjson.dumps(end).decode()


async def check_schema(database: Database) -> None:
    """
    Raises:
        psycopg.Error: the server is away, or the tables are not there.
    """
    await fetch(database.relaxed, "select 1 from scheduling_levelclock limit 1")


def stuck_sequences(*, limit: int) -> list[UUID]:
    """Sequences whose next job waits for its turn although nothing of theirs is in flight."""
    with connection.cursor() as cursor:
        cursor.execute(_STUCK, {"limit": limit})
        return [row[0] for row in cursor.fetchall()]
