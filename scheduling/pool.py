"""The endpoints as one worker process sees them, and the slots it takes of them."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import structlog
from django.utils.module_loading import import_string
from redis.exceptions import RedisError

from balancing import credentials
from balancing.policies.profile import Profile
from balancing.policies.snapshot import EndpointSnapshot, Wanted
from balancing.rates import NOTHING_LIMITED, Rates
from balancing.registry import ENDPOINTS, Target, targets
from balancing.slots import EpochMissing, NotReady, Reservation, Slots
from llmqueue_project.config import load
from scheduling.claims import Claimed
from scheduling.database import Database, fetch
from scheduling.grouping import Grouped
from scheduling.submission import estimated_tokens

log = structlog.get_logger(__name__)
RUNNING = """
select exists (select 1 from scheduling_job
                where status = 'processing' and lease_expires_at > now())
"""


@dataclass(frozen=True, slots=True)
class Bound:
    """A job's endpoint, and why it was chosen (JSON text)."""

    target: Target
    why: str


class EndpointPool:
    """Reserve room, choose endpoints, hold and release slots."""

    def __init__(self, slots: Slots, rates: Rates, database: Database) -> None:
        config = load()
        self._slots = slots
        self._rates = rates
        self._database = database
        self._profile: Profile = import_string(config.balancing.profile)
        self._heartbeat_seconds = config.scheduling.heartbeat_seconds
        self._cooldown_seconds = config.balancing.failure_cooldown_seconds
        self._rng = random.Random()  # noqa: S311 - choices, not secrets
        self._targets: dict[int, Target] = {}
        self._failing_until: dict[int, float] = {}
        self._unbound: set[tuple[int, str]] = set()
        self._unreleased: list[tuple[int, str]] = []
        self._release = Grouped(self._release_group)

    async def refresh(self) -> None:
        """Read the endpoints' rows again."""
        rows = targets(await fetch(self._database.relaxed, ENDPOINTS))
        self._targets = {target.id: target for target in rows}

    def check_credentials(self) -> None:
        """
        Raises:
            ImproperlyConfigured: in production, when a stored credential cannot be read.
        """
        credentials.check_readable(t.access.encrypted_credential for t in self._targets.values())

    def mark_failing(self, target: Target) -> None:
        """Prefer others for a while; only this process knows."""
        self._failing_until[target.id] = time.time() + self._cooldown_seconds

    def mark_well(self, target: Target) -> None:
        self._failing_until.pop(target.id, None)

    async def reserve(self, wanted: int) -> Reservation:
        """Up to `wanted` slots of every endpoint that takes work.

        Raises:
            NotReady: Valkey lost its memory a moment ago and running calls register again.
            redis.RedisError: Valkey is away.
        """
        working = [target for target in self._targets.values() if target.takes_work]
        limits = {target.id: target.max_concurrent for target in working}
        allowance = await self._rates.take(working, wanted)
        if allowance is NOTHING_LIMITED:
            return await self._reserve(limits, wanted)
        try:
            reservation = await self._reserve(allowance.open_to(limits), wanted)
        except (NotReady, RedisError):
            await self._rates.settle(allowance, {})
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
            if held.reserved:
                for model in self._targets[endpoint].model_names:
                    room[model] = room.get(model, 0) + held.reserved
        for job in claimed:
            room[job.model] -= 1
        return {model: slots for model, slots in room.items() if slots > 0}

    def apis_by_model(self, reservation: Reservation) -> dict[str, frozenset[str]]:
        """Model -> the APIs by which the endpoints that have room for it can be asked."""
        found: dict[str, frozenset[str]] = {}
        for endpoint, held in reservation.rooms.items():
            if held.reserved:
                target = self._targets[endpoint]
                for model in target.model_names:
                    found[model] = found.get(model, target.apis) | target.apis
        return found

    def free(self, reservation: Reservation) -> int:
        """Slots that nobody had when the reservation was made, and that may be used now."""
        left = reservation.allowance.left
        return sum(
            max(0, min(self._targets[endpoint].max_concurrent - room.used, left[endpoint]))
            if endpoint in left
            else max(0, self._targets[endpoint].max_concurrent - room.used)
            for endpoint, room in reservation.rooms.items()
            if endpoint in self._targets
        )

    def choose(
        self, reservation: Reservation, jobs: Sequence[Claimed], tried: frozenset[int] = frozenset()
    ) -> list[Bound | None]:
        """An endpoint for each job, None where there is no room after all; `bind` them next."""
        taken: dict[int, list[str]] = {}
        return [self._choose(reservation, job, taken, tried) for job in jobs]

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
            await self._slots.bind(reservation, taken)
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
            await self._rates.settle(reservation.allowance, started)
        except RedisError as error:
            log.warning("rates.settle_waits", error=str(error))

    def spent(self, lease: str, tokens: int | None) -> None:
        """A call has ended and used so many tokens; None when its endpoint did not say."""
        self._rates.spent(lease, tokens)

    def _choose(
        self,
        reservation: Reservation,
        job: Claimed,
        taken: dict[int, list[str]],
        tried: frozenset[int],
    ) -> Bound | None:
        choice = self._profile.choose(
            self._snapshots(reservation, taken, job.kind),
            Wanted(job.model, tried, job.kind),
            now=time.time(),
            rng=self._rng,
        )
        if choice is None:
            return None
        taken.setdefault(choice.endpoint.id, []).append(job.lease)
        why = {"profile": self._profile.name, "scores": choice.scores}
        return Bound(self._targets[choice.endpoint.id], orjson.dumps(why).decode())

    def _snapshots(
        self, reservation: Reservation, taken: Mapping[int, list[str]], api: str
    ) -> list[EndpointSnapshot]:
        """The endpoints that can be asked by an API, whatever the profile looks at."""
        snapshots = []
        for endpoint, room in reservation.rooms.items():
            target = self._targets[endpoint]
            if api not in target.apis:
                continue
            mine = len(taken.get(endpoint, ()))
            snapshots.append(
                EndpointSnapshot(
                    id=endpoint,
                    name=target.name,
                    model_names=target.model_names,
                    weight=target.weight,
                    max_concurrent=target.max_concurrent,
                    in_use=room.used + mine,
                    free=room.reserved - mine,
                    failing_until=self._failing_until.get(endpoint, 0.0),
                    requests_left=reservation.allowance.left.get(endpoint),
                )
            )
        return snapshots

    def allowed(self) -> list[tuple[int, int, frozenset[str]]]:
        """Slots of each endpoint that takes work: by its operator, by its latency; its models."""
        return [
            (each.max_concurrent, each.max_concurrent, each.model_names)
            for each in self._targets.values()
            if each.takes_work
        ]

    def others_serving(self, model: str, tried: frozenset[int], api: str = "chat") -> bool:
        """Whether an endpoint not yet tried could serve the model by an API."""
        return any(
            target.takes_work and target.serves(model, api) and target.id not in tried
            for target in self._targets.values()
        )

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

    async def release(self, endpoint_id: int, lease: str) -> None:
        """Free a slot; remembered for the next heartbeat if Valkey is away."""
        self._rates.spent(lease, None)
        await self._release((endpoint_id, lease))

    async def _release_group(self, leases: Sequence[tuple[int, str]]) -> list[None]:
        try:
            await self._slots.release(leases)
        except RedisError as error:
            log.warning("slots.release_waits", slots=len(leases), error=str(error))
            self._unreleased.extend(leases)
        return [None] * len(leases)
