"""What do all doors of the lean application share, for its whole life?"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import structlog
from redis.asyncio import Redis

from balancing.endpoints import credentials
from balancing.endpoints.model_pools import MODEL_POOLS, is_usable
from balancing.endpoints.registry import (
    ENDPOINTS,
    GROUPS,
    Target,
    TargetReader,
    apis_of,
    model_names,
)
from conversations.access import flows, keys
from conversations.access.keys import Caller, VerifiedKeys
from conversations.doors.lean.leaving import Leaving
from conversations.doors.lean.readiness import Readiness
from conversations.doors.lean.refusals import Refusal
from conversations.doors.lean.rule_reader import RuleReader
from conversations.doors.lean.wire import Exchange
from conversations.priority.rulebook import KnownRules
from conversations.streams.listener import Listener
from conversations.streams.waiter import Entry, Waiter
from llmqueue_project.config import configuration
from scheduling import job_state
from scheduling.errors import Maintenance, QueueFull
from scheduling.job_state import JobState
from scheduling.models import Priority
from scheduling.specs import JobSpec, Receipt
from scheduling.submit import estimates
from scheduling.submit.estimates import Estimates
from scheduling.submit.intake import Intake
from scheduling.waiting import admission
from scheduling.waiting.admission import Admission
from scheduling.waiting.outlook import Outlook
from scheduling.waiting.queue_view import FRESH_SECONDS
from stores import control
from stores.memory import Memory
from stores.postgres import Database, read
from stores.valkey import Valkey
from stores.valkey_watch import ValkeyWatch

log = structlog.get_logger(__name__)


class Backend:
    """Connections, the listener and what is remembered, for all requests of one web process.

    Args:
        memory: the web process's; Django's views use the same one.
    """

    def __init__(self, memory: Memory) -> None:
        self.config = configuration()
        self.valkey: Redis = Valkey.configured()
        self.database = Database(self.config.web.database_pool_size)
        self.listener = Listener(self.valkey, self.database)
        self.rules = RuleReader(self.database)
        leaving = memory.of(Leaving)
        self.readiness = Readiness(self.database, self.valkey, leaving, self._set_aside)
        self._intake = Intake(self.database, self.valkey)
        self._keys = memory.of(VerifiedKeys)
        self._known_rules = memory.of(KnownRules)
        self._admission = memory.of(Admission)
        self._valkey_watch = ValkeyWatch(self.valkey, self._admission.queue.stand_still)
        self._estimates = memory.of(Estimates)
        self._reader, self._group_reader = TargetReader(), TargetReader()
        self._targets: tuple[Target, ...] = ()
        self._declared: tuple[Target, ...] = ()
        self._pools_set_aside = 0
        self._pools_until = 0.0
        self._models: list[str] = []
        self._models_until = 0.0
        self._refreshing: asyncio.Task[None] | None = None
        self._chores: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        await self.database.__aenter__()
        await self.listener.start()
        await self._refresh()
        credentials.check_readable(t.access.encrypted_credential for t in self._targets)
        self._chores = [
            asyncio.create_task(control.listen(self.valkey, control.CHANNEL, self._hear)),
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._valkey_watch.run()),
        ]

    async def close(self) -> None:
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self.listener.stop()
        await self._intake.settle()
        await self.database.__aexit__(None, None, None)
        await self.valkey.aclose()

    async def caller(self, exchange: Exchange) -> Caller:
        """Who is asking.

        Raises:
            Refusal: no key, or none that is known, valid and unrevoked.
        """
        presented = keys.presented_key(
            exchange.header("authorization"), exchange.header("x-api-key")
        )
        if not presented:
            raise Refusal(401, "missing_api_key", "send an API key: Authorization: Bearer <key>")
        known = self._keys.recall(presented)
        if known is None and keys.is_plausible(presented):
            rows = await read(
                self.database.relaxed, keys.LOOKUP, {"prefix": keys.prefix(presented)}
            )
            known = self._keys.verify(presented, rows[0] if rows else None)
        if known is None:
            raise Refusal(401, "invalid_api_key", "the API key is unknown or revoked")
        return known

    async def models(self) -> list[str]:
        """Every model that an endpoint serves now; at most a few seconds old."""
        if time.monotonic() >= self._models_until:
            groups = await read(self.database.relaxed, GROUPS)
            rows = await read(self.database.relaxed, ENDPOINTS)
            self._targets = tuple(self._reader.read(rows))
            self._declared = (*self._targets, *self._group_reader.read(groups))
            self._models = model_names(self._targets)
            self._models_until = time.monotonic() + self.config.balancing.registry_seconds
        return self._models

    async def _count_pools(self) -> None:
        """How many model pools are set aside: only readiness asks, so no request reads them."""
        if time.monotonic() >= self._pools_until:
            pools = await read(self.database.relaxed, MODEL_POOLS)
            self._pools_set_aside = sum(not is_usable(*row) for row in pools)
            self._pools_until = time.monotonic() + self.config.balancing.registry_seconds

    def _set_aside(self) -> dict[str, int]:
        """How many rows cannot be used, wholly or in part, by what they are."""
        counts = {
            "endpoints": self._reader.set_aside + self._group_reader.set_aside,
            "prices": sum(target.lacks_prices for target in self._declared),
            "model_pools": self._pools_set_aside,
            "priority_rules": self.rules.set_aside,
        }
        return {what: count for what, count in counts.items() if count}

    async def apis_of(self, model: str) -> frozenset[str]:
        """The APIs by which a model may be asked for; none if nobody has declared it.

        Requests for a model whose endpoints are all disabled, or gone for a moment, wait.
        """
        await self.models()
        return apis_of(model, self._declared)

    async def flow_of(self, caller: Caller) -> int:
        """The id of the flow that a caller's requests are counted in."""
        row = flows.of_caller(caller)
        return await self._intake.flow_for(key=row.key, name=row.name, weight=row.weight)

    def expected_cost(
        self, body: str, *, flow_id: int, model: str, max_tokens: int | None = None
    ) -> float:
        """Weighted tokens that a request is expected to take."""
        return self._estimates.cost(body, flow_id=flow_id, model=model, max_tokens=max_tokens)

    def admit(self, spec: JobSpec) -> None:
        """
        Raises:
            Refusal: intake is paused, or the queue is full.
        """
        try:
            self._admission.check([spec])
        except QueueFull as full:
            seconds = full.retry_after_seconds
            raise Refusal(429, "queue_full", str(full), retry_after_seconds=seconds) from None
        except Maintenance as pause:
            seconds = pause.retry_after_seconds
            raise Refusal(503, "maintenance", str(pause), retry_after_seconds=seconds) from None

    async def submit(self, spec: JobSpec) -> Receipt:
        """Store an admitted job; when this returns it will end exactly once."""
        receipt = await self._intake.submit(spec)
        self._admission.record([spec], [receipt])
        if self._admission.is_due:
            self._refresh_soon()
        return receipt

    async def cancel(self, job_id: UUID) -> None:
        """The client went away: end its job, waiting or running."""
        await self._intake.cancel(job_id)

    def entries(self, waiter: Waiter) -> AsyncIterator[list[Entry]]:
        """The entries of a job up to its end; an empty list means that it is time for a comment."""
        return self.listener.entries(waiter, tick_seconds=self.config.web.comment_seconds)

    async def stored_body(self, job_id: UUID) -> bytes:
        """
        Raises:
            Refusal: the answer has been removed.
            psycopg.OperationalError: the server is away.
        """
        body = await job_state.stored_body(self.database, job_id)
        if body is None:
            raise Refusal(502, "answer_removed", "the answer has been removed")
        return body

    def outlook(self, level: Priority, model: str, fair_tag: float, job_id: UUID) -> Outlook | None:
        """Position and wait of a queued job, at most a second or so old."""
        return self._admission.outlook(level, model, fair_tag, job_id)

    async def state(self, job_id: UUID) -> JobState | None:
        """How a job stands in the database; None if that cannot be told now."""
        try:
            return await job_state.state_of(self.database, job_id)
        except psycopg.OperationalError:
            return None

    def _hear(self, message: bytes) -> None:
        news = json.loads(message)
        if "keys" in news:
            self._keys.forget()
        if "rules" in news:
            self._known_rules.forget()
            self.rules.forget()
        if "pauses" in news:
            self._refresh_soon()

    async def _watch(self) -> None:
        """Read pauses and what waits once a second, even if no request comes."""
        while True:
            await asyncio.sleep(FRESH_SECONDS)
            self._refresh_soon()

    def _refresh_soon(self) -> None:
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        try:
            await self.models()
            await admission.refresh(self._admission, self.database, self._targets)
            await estimates.refresh(self._estimates, self.database)
            await self._count_pools()
        except psycopg.Error as error:
            log.info("admission.waits", error=str(error))
        finally:
            self._refreshing = None
