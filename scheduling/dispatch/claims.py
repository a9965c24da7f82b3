"""A worker's dealings with its leased jobs: claim, heartbeat, finish, retry, give back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import psycopg
import structlog

from scheduling.dispatch import large_results
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.endings import FailedAttempt, Finish, SideCall, finishes, storable
from scheduling.models import Api
from scheduling.statements import (
    CLAIM,
    FINISH,
    GIVE_BACK,
    HEARTBEAT,
    NOTE,
    RETRY,
    STORED,
    WAITING,
)
from stores.group_commit import Grouped
from stores.postgres import UNSTORABLE, Database, fetch

log = structlog.get_logger(__name__)
ALL_APIS = frozenset(Api.values)


class Claims:
    """Statements on behalf of one worker process.

    Raises, in every method but `finish`: psycopg.OperationalError when PostgreSQL is away.
    """

    def __init__(self, database: Database, *, worker: str, lease_seconds: float) -> None:
        self._database = database
        self._worker = worker[:100]
        self._lease_seconds = lease_seconds
        self._finish = Grouped(self._finish_group, alone=UNSTORABLE, size=_chars)

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

    async def retry(self, job: Claimed, failed: FailedAttempt, *, delay_seconds: float) -> bool:
        """End the current attempt; hold the job for `delay_seconds`, or keep it when zero.

        Returns:
            Whether the lease was still ours.
        """
        values = {
            "id": job.id,
            "lease_token": job.lease_token,
            "number": job.attempts,
            "delay_seconds": delay_seconds,
            "further": 0 if failed.uses_attempt else 1,
            "endpoint_id": failed.endpoint_id,
            "endpoint_name": failed.endpoint_name,
            "error_code": failed.error_code,
            "error_message": storable(failed.error_message),
            "public": failed.public,
            "first_token_at": failed.first_token_at,
            "why": failed.why,
            "spent_prompt": failed.spent.prompt_tokens,
            "spent_completion": failed.spent.completion_tokens,
            "spent_micros": failed.spent.micros,
            "spent_estimated": failed.spent.estimated,
        }
        return bool(await fetch(self._database.durable, RETRY, values))

    async def note(self, job: Claimed, call: SideCall) -> None:
        """Keep a record of a call of the current attempt that did not decide it."""
        values = {
            "id": job.id,
            "number": job.attempts,
            "endpoint_id": call.endpoint_id,
            "endpoint_name": call.endpoint_name,
            "worker": self._worker,
            "outcome": call.outcome.value,
            "error_code": call.error_code[:40],
            "error_message": storable(call.error_message),
            "seconds": call.seconds,
            "why": call.why,
        }
        await fetch(self._database.relaxed, NOTE, values)

    async def finish(self, outcome: Finish) -> bool:
        """Store how a job ended, waiting out an absent server; False when its lease was lost."""
        pause = 0.1
        while True:
            try:
                return await self._store(outcome)
            except psycopg.OperationalError as error:
                log.warning("finish.waits", job=str(outcome.id), error=str(error))
                await asyncio.sleep(pause)
                pause = min(2.0, pause * 2)

    async def _store(self, outcome: Finish) -> bool:
        if large_results.is_large(outcome):
            return await self._store_large(outcome)
        return await self._finish(outcome)

    async def _store_large(self, outcome: Finish) -> bool:
        if await large_results.store(self._database.durable, outcome):
            return True
        return bool(await fetch(self._database.durable, STORED, _leases([outcome])))

    async def _finish_group(self, outcomes: Sequence[Finish]) -> list[bool]:
        rows = await fetch(self._database.durable, FINISH, finishes(outcomes))
        stored = {row[0] for row in rows}
        if len(stored) < len(outcomes):
            # A connection may have broken after the commit: then this is the second time.
            missing = [o for o in outcomes if o.id not in stored]
            rows = await fetch(self._database.durable, STORED, _leases(missing))
            stored.update(row[0] for row in rows)
        return [outcome.id in stored for outcome in outcomes]


def _chars(finish: Finish) -> int:
    return len(finish.result or "")


def _leases(jobs: Sequence[Claimed] | Sequence[Finish]) -> dict[str, list[UUID]]:
    return {"id": [job.id for job in jobs], "lease_token": [job.lease_token for job in jobs]}


def _listed(models: Iterable[str], apis: Mapping[str, frozenset[str]] | None) -> list[str]:
    """The APIs of each model, separated by commas: PostgreSQL has no arrays of uneven ones."""
    known = apis or {}
    return [",".join(known.get(model, ALL_APIS)) for model in models]
