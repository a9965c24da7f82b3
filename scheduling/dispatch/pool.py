"""The slots that one worker process takes of the endpoints, and the endpoints it chooses."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from balancing.choice.endpoint_view import EndpointView
from balancing.choice.explanation import explain
from balancing.endpoints import credentials
from balancing.endpoints.model_pools import MODEL_POOLS, Rules
from balancing.endpoints.registry import ENDPOINTS, Target, TargetReader
from balancing.health.ejector import Ejector
from balancing.live.rates import NOTHING_LIMITED, Rates
from balancing.live.slots import EpochMissing, NotReady, Reservation, Slots
from balancing.live.state import Ending
from balancing.live.store import LiveStore
from balancing.policies.prefixes import PrefixMemory
from balancing.policies.snapshot import EndpointSnapshot
from llmqueue_project.config import configuration
from scheduling.dispatch.claims import Claimed
from scheduling.dispatch.wanted import wanted_of
from scheduling.specs import estimated_tokens
from stores.group_commit import Grouped
from stores.postgres import Database, fetch

log = structlog.get_logger(__name__)
RUNNING = """
select exists (select 1 from scheduling_job
                where status = 'processing' and lease_expires_at > now())
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """A job's endpoint, and why it was chosen (JSON text).

    Attributes:
        first_seconds: when its first word is expected there, from the call; 0 when unknown.
        model: the fallback model it is served by; empty when it is the one that was asked for.
    """

    target: Target
    why: str
    first_seconds: float = 0.0
    model: str = ""


class EndpointPool:
    """Reserve room, choose endpoints, hold and release slots."""

    def __init__(self, slots: Slots, rates: Rates, live: LiveStore, database: Database) -> None:
        config = configuration()
        self._slots = slots
        self._rates = rates
        self._live = live
        self._database = database
        self._heartbeat_seconds = config.scheduling.heartbeat_seconds
        self._cooldown_seconds = config.balancing.failure_cooldown_seconds
        self._rng = random.Random()  # noqa: S311 - choices, not secrets
        self._memory = PrefixMemory()
        self._reader = TargetReader()
        self._unbound: set[tuple[int, str]] = set()
        self._unreleased: list[Ending] = []
        self._release = Grouped(self._release_group)
        self.landscape = EndpointView()
        self._ejecting = Ejector(live, self.landscape)

    async def refresh(self) -> None:
        """Read the rows of endpoints and model pools again."""
        rows = self._reader.read(await fetch(self._database.relaxed, ENDPOINTS))
        self.landscape.model_pools.update(await fetch(self._database.relaxed, MODEL_POOLS))
        self.landscape.update_targets(rows)

    async def look(self) -> None:
        """Read the live state again, beside the requests.

        Raises:
            redis.RedisError: Valkey is away.
        """
        self.landscape.update_live(*await self._live.read(list(self.landscape.targets)))

    def rules(self, model: str) -> Rules:
        return self.landscape.model_pools.rules_for(model)

    def check_credentials(self) -> None:
        """
        Raises:
            ImproperlyConfigured: in production, when a stored credential cannot be read.
        """
        known = self.landscape.targets.values()
        credentials.check_readable(target.access.encrypted_credential for target in known)

    def mark_failing(self, target: Target) -> None:
        """Prefer others for a while; the others learn of it when the slot is released."""
        self.landscape.mark_failing(target.id)

    def mark_well(self, target: Target) -> None:
        self.landscape.mark_well(target.id)

    async def reserve(self, wanted: int) -> Reservation:
        """Up to `wanted` slots of every endpoint that takes work.

        Raises:
            NotReady: Valkey lost its memory a moment ago and running calls register again.
            redis.RedisError: Valkey is away.
        """
        limits, targets = self.landscape.limits, self.landscape.targets
        working = [targets[endpoint] for endpoint in limits]
        allowance = await self._rates.take(working, wanted)
        if allowance is NOTHING_LIMITED:
            return await self._reserve(limits, wanted)
        try:
            reservation = await self._reserve(allowance.open_to(limits), wanted)
        except (NotReady, RedisError):
            await self._rates.count(allowance, {})
            raise
        return reservation.within(allowance)

    async def _reserve(self, limits: Mapping[int, int], wanted: int) -> Reservation:
        try:
            return await self._slots.reserve(limits, wanted)
        except EpochMissing:
            running = (await fetch(self._database.relaxed, RUNNING))[0][0]
            quiet = self._heartbeat_seconds if running else 0.0
            await self._slots.open_epoch(quiet_seconds=quiet)
            if quiet:
                raise NotReady(quiet) from None
            return await self._slots.reserve(limits, wanted)

    def room_by_model(
        self, reservation: Reservation, claimed: Sequence[Claimed] = ()
    ) -> dict[str, int]:
        """Model -> slots reserved on endpoints that serve it, less those already claimed for."""
        room: dict[str, int] = {}
        for endpoint, held in reservation.rooms.items():
            if held.reserved and endpoint in self.landscape.targets:
                for model in self.landscape.targets[endpoint].model_names:
                    room[model] = room.get(model, 0) + held.reserved
        for job in claimed:
            if job.model in room:
                room[job.model] -= 1
        return {model: slots for model, slots in room.items() if slots > 0}

    def apis_by_model(self, reservation: Reservation) -> dict[str, frozenset[str]]:
        """Model -> the APIs by which the endpoints that have room for it can be asked."""
        found: dict[str, frozenset[str]] = {}
        for endpoint, held in reservation.rooms.items():
            if held.reserved and endpoint in self.landscape.targets:
                target = self.landscape.targets[endpoint]
                for model in target.model_names:
                    found[model] = found.get(model, target.apis) | target.apis
        return found

    def free(self, reservation: Reservation) -> int:
        """Slots that nobody had when the reservation was made, and that may be used now."""
        left = reservation.allowance.left
        return sum(
            min(room.room, left.get(endpoint, room.room))
            for endpoint, room in reservation.rooms.items()
            if endpoint in self.landscape.targets
        )

    def choose(
        self,
        reservation: Reservation,
        jobs: Sequence[Claimed],
        tried: frozenset[int] = frozenset(),
        *,
        model: str = "",
        because: Mapping[str, str] | None = None,
    ) -> list[Bound | None]:
        """An endpoint for each job, None where there is no room after all; `bind` them next.

        Args:
            model: a fallback in place of the model they ask for.
            because: what else the record of the choice should say.
        """
        table = self.landscape.snapshots(reservation)
        found: list[Bound | None] = []
        for job in jobs:
            bound = self._choose(table, reservation.at, job, tried, model or job.model, because)
            if bound is not None and len(found) + 1 < len(jobs):
                # The next one of the group sees what this one took.
                taken = table[bound.target.id]
                table[bound.target.id] = replace(
                    taken,
                    in_use=taken.in_use + 1,
                    free=taken.free - 1,
                    running_cost=taken.running_cost + job.cost,
                )
            found.append(bound)
        return found

    def _choose(
        self,
        table: Mapping[int, EndpointSnapshot],
        now: float,
        job: Claimed,
        tried: frozenset[int],
        model: str,
        because: Mapping[str, str] | None,
    ) -> Bound | None:
        profile = self.rules(model).profile
        wanted = wanted_of(job, profile, self._memory, model=model, tried=tried)
        choice = profile.choose(table.values(), wanted, now=now, rng=self._rng)
        if choice is None:
            return None
        if wanted.prefix:
            self._memory.remember(wanted, choice.endpoint.id)
        why: dict[str, Any] = explain(profile, choice, table.values(), wanted, now=now)
        fallback = model if model != job.model else ""
        why |= {"model": fallback} if fallback else {}
        why |= {"trial": True} if choice.endpoint.on_trial else {}
        why |= because or {}
        return Bound(
            self.landscape.targets[choice.endpoint.id],
            orjson.dumps(why).decode(),
            _first_seconds(choice.endpoint, table, job.stream, wanted.output_tokens),
            fallback,
        )

    async def bind(
        self, reservation: Reservation, jobs: Sequence[Claimed], bound: Sequence[Bound | None]
    ) -> None:
        """Turn the reservation into the jobs' slots and give back the rest.

        A job may start meanwhile, its slot is reserved. If Valkey goes away now, the next
        heartbeat takes the slots of what runs.
        """
        taken: dict[int, list[str]] = {}
        for job, endpoint in zip(jobs, bound, strict=True):
            if endpoint is not None:
                taken.setdefault(endpoint.target.id, []).append(job.lease)
        try:
            await self._slots.confirm(reservation, taken)
        except RedisError as error:
            log.warning("slots.bind_waits", slots=len(jobs), error=str(error))
            self._unbound |= {(e, lease) for e, leases in taken.items() for lease in leases}
        if reservation.allowance is not NOTHING_LIMITED:
            await self._count(reservation, jobs, bound)

    async def _count(
        self, reservation: Reservation, jobs: Sequence[Claimed], bound: Sequence[Bound | None]
    ) -> None:
        """What starts now counts against its endpoint's rate limits; the rest is refunded."""
        started: dict[int, list[tuple[str, int]]] = {}
        for job, endpoint in zip(jobs, bound, strict=True):
            if endpoint is not None:
                call = job.lease, estimated_tokens(job.body, job.cost)
                started.setdefault(endpoint.target.id, []).append(call)
        try:
            await self._rates.count(reservation.allowance, started)
        except RedisError as error:
            log.warning("rates.settle_waits", error=str(error))

    def spent(self, lease: str, tokens: int | None) -> None:
        """A call has ended and used so many tokens; None when its endpoint did not say."""
        self._rates.spent(lease, tokens)

    def allowed(self) -> list[tuple[int, int, frozenset[str]]]:
        """Slots of each endpoint that takes work: by its operator, by its latency; its models."""
        targets, limits = self.landscape.targets, self.landscape.limits
        return [
            (targets[each].max_concurrent, limit, targets[each].model_names)
            for each, limit in limits.items()
        ]

    def others_serving(self, model: str, tried: frozenset[int], api: str = "chat") -> bool:
        """Whether an endpoint not yet tried could serve the model by an API."""
        return bool(self.landscape.serving(model, tried, api))

    async def renew(self, held: Mapping[int, Sequence[str]]) -> None:
        """Keep slots; those whose binding or release failed are bound or released now."""
        await self._slots.renew(held)
        await self._rates.flush()
        if self._unbound:
            running = {(e, lease) for e, leases in held.items() for lease in leases}
            await self._slots.add(sorted(self._unbound & running))
            self._unbound.clear()
        if self._unreleased:
            waiting, self._unreleased = self._unreleased, []
            await self._release_group(waiting)

    def release(self, ending: Ending) -> Awaitable[None]:
        """Free a slot and learn from its call; later, if Valkey is away."""
        self._rates.spent(ending.lease, None)
        return self._release.soon(ending)

    async def released(self) -> None:
        """Wait until what was released has been sent: a reservation sent from then on sees it."""
        await self._release.begun()

    async def _release_group(self, endings: Sequence[Ending]) -> list[None]:
        try:
            verdicts = await self._slots.release(endings, cooldown_seconds=self._cooldown_seconds)
        except RedisError as error:
            log.warning("slots.release_waits", slots=len(endings), error=str(error))
            self._unreleased.extend(endings)
        else:
            for verdict in verdicts:
                await self._ejecting.judge(verdict)
        return [None] * len(endings)


def _first_seconds(
    endpoint: EndpointSnapshot,
    table: Mapping[int, EndpointSnapshot],
    streamed: bool,
    output_tokens: int,
) -> float:
    """When a call there should say its first word; an answer that is not streamed says all at once.

    An endpoint that was never measured is expected to be like the slowest of its kind.
    """
    alike = [endpoint] if endpoint.first_token_seconds else [
        e for e in table.values() if not e.model_names.isdisjoint(endpoint.model_names)
    ]  # fmt: skip
    first = max((e.first_token_seconds for e in alike), default=0.0)
    if streamed:
        return first
    token = endpoint.token_seconds or max((e.token_seconds for e in alike), default=0.0)
    return first + output_tokens * token if token else 0.0
