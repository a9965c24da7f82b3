"""What the lean application holds for its whole life: connections, listener, caches."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta

import psycopg
import structlog
from redis.asyncio import Redis

from balancing.endpoints import credentials
from balancing.endpoints.registry import ENDPOINTS, Target, TargetReader, apis_of, model_names
from conversations.access import keys
from conversations.access.keys import Caller
from conversations.doors.lean.errors import ApiError
from conversations.doors.openai.request import Completion
from conversations.doors.openai.ruling import RuleReader
from conversations.priority import rulebook
from conversations.priority.classify import Choice
from conversations.streams.listener import Listener
from llmqueue_project.config import configuration
from scheduling.errors import Maintenance, QueueFull
from scheduling.models import Api, Priority, Source
from scheduling.specs import JobSpec, Receipt, affinity_of, estimate_cost
from scheduling.submit import estimates
from scheduling.submit.estimates import Estimates
from scheduling.submit.intake import Intake
from scheduling.waiting import admission
from scheduling.waiting.admission import Admission
from scheduling.waiting.outlook import Outlook
from scheduling.waiting.queue_view import FRESH_SECONDS
from stores import control
from stores.postgres import Database, read
from stores.valkey import Valkey

log = structlog.get_logger(__name__)
PATHS = {
    "chat": "/v1/chat/completions",
    "completion": "/v1/completions",
    "embedding": "/v1/embeddings",
}


class Door:
    """Shared by all requests of one web process."""

    def __init__(self) -> None:
        self.config = configuration()
        self.valkey: Redis = Valkey.from_url(
            self.config.redis_url.get_secret_value(), socket_timeout=5, socket_connect_timeout=2
        )
        self.database = Database(self.config.web.database_pool_size)
        self.listener = Listener(self.valkey, self.database)
        self.intake = Intake(self.database, self.valkey)
        self.admission = Admission()
        self.estimates = Estimates()
        self.rules = RuleReader(self.database)
        self._reader = TargetReader()
        self._targets: tuple[Target, ...] = ()
        self._models: list[str] = []
        self._models_until = 0.0
        self._looking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.database.__aenter__()
        await self.listener.start()
        await self._look()
        credentials.check_readable(t.access.encrypted_credential for t in self._targets)
        self._chores = [
            asyncio.create_task(control.listen(self.valkey, control.CHANNEL, self._hear)),
            asyncio.create_task(self._watch()),
        ]

    async def close(self) -> None:
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self.listener.stop()
        await self.database.__aexit__(None, None, None)
        await self.valkey.aclose()

    def _hear(self, message: bytes) -> None:
        news = json.loads(message)
        if "keys" in news:
            keys.forget()
        if "rules" in news:
            rulebook.forget()
            self.rules.forget()
        if "pauses" in news:
            self._look_soon()

    async def caller(self, authorization: str, x_api_key: str) -> Caller:
        """Who is asking.

        Raises:
            ApiError: no key, or none that is known, valid and unrevoked.
        """
        presented = keys.presented_key(authorization, x_api_key)
        if not presented:
            raise ApiError(401, "missing_api_key", "send an API key: Authorization: Bearer <key>")
        known = keys.recall(presented)
        if known is None and keys.plausible(presented):
            rows = await read(
                self.database.relaxed, keys.LOOKUP, {"prefix": keys.prefix(presented)}
            )
            known = keys.verify(presented, rows[0] if rows else None)
        if known is None:
            raise ApiError(401, "invalid_api_key", "the API key is unknown or revoked")
        return known

    async def models(self) -> list[str]:
        """Every model that can be asked for, a few seconds old at the most."""
        if time.monotonic() >= self._models_until:
            rows = await read(self.database.relaxed, ENDPOINTS)
            self._targets = tuple(self._reader.read(rows))
            self._models = model_names(self._targets)
            self._models_until = time.monotonic() + self.config.balancing.registry_seconds
        return self._models

    async def spec(
        self,
        caller: Caller,
        request: Completion,
        choice: Choice,
        request_id: str,
        session: str = "",
    ) -> JobSpec:
        """The job that a request becomes; requests of one `session` prefer one endpoint.

        Raises:
            ApiError: no endpoint serves the model, intake is paused, or the queue is full.
        """
        await self._check_served(request.model, request.api)
        flow_id = await self._flow(caller)
        spec = JobSpec(
            level=choice.level,
            priority_reason=choice.reason,
            model=request.model,
            api=Api(request.api),
            source=Source.OPENAI,
            stream=request.stream,
            body=request.upstream,
            tenant_id=caller.tenant_id,
            user_id=caller.user_id,
            flow_id=flow_id,
            cost=self._cost(request, flow_id),
            deadline_at=datetime.now(UTC)
            + timedelta(seconds=self.config.scheduling.default_timeout_seconds),
            origin=self.listener.origin,
            request_id=request_id,
            affinity=affinity_of(caller.tenant_id, session or request.session),
            allow_fallback=caller.allow_fallback,
        )
        self._admit(spec)
        return spec

    async def _check_served(self, model: str, api: str) -> None:
        """
        Raises:
            ApiError: no endpoint serves the model by this API.
        """
        if model not in await self.models():
            message = f"the model {model!r} does not exist: GET /v1/models lists them"
            raise ApiError(404, "model_not_found", message, param="model")
        served = apis_of(model, self._targets)
        if api not in served:
            raise ApiError(
                404,
                "unsupported_model",
                f"the model {model!r} is not served at {PATHS[api]}, but at "
                + ", ".join(PATHS[each] for each in sorted(served)),
                param="model",
            )

    async def submit(self, spec: JobSpec) -> Receipt:
        """Store an admitted job; when this returns it will end exactly once."""
        receipt = await self.intake.submit(spec)
        self.admission.record([spec], [receipt])
        if self.admission.is_due:
            self._look_soon()
        return receipt

    async def _flow(self, caller: Caller) -> int:
        key, name = f"tenant:{caller.tenant_id}", caller.tenant_name
        if self.config.scheduling.flow_by == "user" and caller.user_id is not None:
            key = f"{key}:user:{caller.user_id}"
        return await self.intake.flow_for(key=key, name=name, weight=caller.tenant_weight)

    def outlook(self, level: Priority, model: str, fair_tag: float) -> Outlook | None:
        """Position and wait of a queued job as last seen, at most a second or so ago."""
        return self.admission.outlook(level, model, fair_tag)

    async def _watch(self) -> None:
        """Once a second, whether requests come or not: pauses, and what waits."""
        while True:
            await asyncio.sleep(FRESH_SECONDS)
            self._look_soon()

    def _look_soon(self) -> None:
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        try:
            await self.models()
            await admission.refresh(self.admission, self.database, self._targets)
            await estimates.refresh(self.estimates, self.database)
        except psycopg.Error as error:
            log.info("admission.waits", error=str(error))
        finally:
            self._looking = None

    def _cost(self, request: Completion, flow_id: int) -> float:
        """Estimated weighted tokens; an embedding generates none."""
        if request.api == Api.EMBEDDING:
            return estimate_cost(request.upstream, 0)
        return self.estimates.cost(
            request.upstream, flow_id=flow_id, model=request.model, max_tokens=request.max_tokens
        )

    def _admit(self, spec: JobSpec) -> None:
        try:
            self.admission.check([spec])
        except QueueFull as full:
            seconds = full.retry_after_seconds
            raise ApiError(429, "queue_full", str(full), retry_after_seconds=seconds) from None
        except Maintenance as pause:
            seconds = pause.retry_after_seconds
            raise ApiError(503, "maintenance", str(pause), retry_after_seconds=seconds) from None
