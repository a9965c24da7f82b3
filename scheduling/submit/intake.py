"""How does an event loop submit and cancel? Many jobs at a time: the hot path of the OpenAI door.

The statements are those of `services.py`, without the ORM. Submits of the same moment share one
INSERT and one commit. A group is sent again when its connection breaks: it is stored only once.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import UUID

import psycopg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from scheduling.flow_ids import FlowIds
from scheduling.models import Status
from scheduling.specs import JobSpec, Receipt, parameters, receipts
from scheduling.statements import CANCEL, SUBMIT
from scheduling.tickets.messages import counted
from scheduling.tickets.queue import TicketQueue
from stores import control
from stores.group_commit import Grouped
from stores.postgres import LEAST_SECONDS, UNSTORABLE, Database, fetch, read

log = structlog.get_logger(__name__)

# Every door answers within five seconds, also while PostgreSQL is away.
PATIENCE_SECONDS = 4.0
SETTLE_SECONDS = 1.0
LARGE_CHARS = 1_000_000
# As slow as a database may take large bodies.
LEAST_BYTES_PER_SECOND = 5_000_000
EXISTING = """
select id, status, held_reason, fair_tag from scheduling_job where id = any(%(ids)s::uuid[])
"""
FLOW = """
insert into scheduling_flow (key, name, weight, created_at)
values (%(key)s, %(name)s, %(weight)s, now())
    on conflict (key) do update set name = excluded.name, weight = excluded.weight
returning id
"""


class Intake:
    def __init__(self, database: Database, client: Redis) -> None:
        self._database = database
        self._client = client
        self._queue = TicketQueue(client)
        self._submit = Grouped(self._submit_group, alone=UNSTORABLE, size=_chars)
        self._cancel = Grouped(self._cancel_group)
        self._flows = FlowIds()
        self._background: set[asyncio.Task[None]] = set()

    async def submit(self, spec: JobSpec) -> Receipt:
        """Store a job; when this returns it will end exactly once.

        Raises:
            psycopg.OperationalError: PostgreSQL stayed away for `PATIENCE_SECONDS`.
            psycopg.DataError: a text holds what PostgreSQL cannot store.
        """
        return await self._submit(spec)

    async def cancel(self, job_id: UUID) -> None:
        """The client went away: end its job, waiting or running."""
        await self._cancel(job_id)

    async def settle(self) -> None:
        """The process ends: let out what is still to be told."""
        if self._background:
            await asyncio.wait(self._background, timeout=SETTLE_SECONDS)

    async def flow_for(self, *, key: str, name: str, weight: float) -> int:
        """The id of a flow; the row is made, or takes the caller's name and weight."""
        found = self._flows.get(key, name, weight)
        if found is None:
            values = {"key": key, "name": name, "weight": weight}
            found = int((await read(self._database.durable, FLOW, values))[0][0])
            self._flows.remember(key, name, weight, found)
        return found

    async def _submit_group(self, specs: Sequence[JobSpec]) -> list[Receipt]:
        stored = receipts(await self._patiently(specs))
        missing = [spec.id for spec in specs if spec.id not in stored]
        if missing:
            # The group was sent again after a broken connection; the first time had committed.
            stored |= receipts(await fetch(self._database.durable, EXISTING, {"ids": missing}))
        queued = [s.level for s in specs if stored[s.id].status == Status.QUEUED]
        self._later(self._publish(counted(queued)))
        return [stored[spec.id] for spec in specs]

    async def _patiently(self, specs: Sequence[JobSpec]) -> list[tuple[UUID, str, str, float]]:
        chars = sum(map(_chars, specs))
        values = await _parameters(specs, chars)
        loop = asyncio.get_running_loop()
        seconds = PATIENCE_SECONDS + chars / LEAST_BYTES_PER_SECOND
        deadline = loop.time() + seconds
        while True:
            try:
                left = max(LEAST_SECONDS, deadline - loop.time())
                rows = await fetch(self._database.durable, SUBMIT, values, seconds=left)
                return [(row[0], row[1], row[2], row[3]) for row in rows]
            except psycopg.OperationalError as error:
                if loop.time() >= deadline:
                    raise
                log.warning("submit.waits", jobs=len(specs), error=str(error))
                await asyncio.sleep(0.2)

    async def _cancel_group(self, ids: Sequence[UUID]) -> list[None]:
        rows = await fetch(self._database.durable, CANCEL, _hung_up(ids))
        running = [row[0] for row in rows if row[1] == Status.PROCESSING]
        if running:
            self._later(self._tell(running))
        return [None] * len(ids)

    async def _publish(self, counts: dict[str, int]) -> None:
        try:
            await self._queue.publish(counts)
        except RedisError as error:
            # The rows are committed; the sweep publishes what is missing.
            log.warning("tickets.not_published", error=str(error))

    async def _tell(self, running: Sequence[UUID]) -> None:
        try:
            for job_id in running:
                await self._client.publish(control.CHANNEL, json.dumps({"cancel": str(job_id)}))
        except RedisError as error:
            log.info("control.not_told", error=str(error))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _parameters(specs: Sequence[JobSpec], chars: int) -> dict[str, Any]:
    """What `SUBMIT` takes. Large bodies are written as JSON beside the event loop."""
    if chars < LARGE_CHARS:
        return parameters(specs)
    return await asyncio.to_thread(parameters, specs)


def _chars(spec: JobSpec) -> int:
    return len(spec.body)


def _hung_up(ids: Sequence[UUID]) -> dict[str, Any]:
    return {"ids": list(ids), "why": "the client went away"}
