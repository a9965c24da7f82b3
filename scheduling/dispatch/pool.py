"""The slots that one worker process takes of the endpoints: reserved, placed, renewed, freed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass

import psycopg
import structlog
from redis.exceptions import RedisError

from balancing.choice.endpoint_view import EndpointView
from balancing.endpoints import credentials
from balancing.endpoints.model_pools import MODEL_POOLS, Rules
from balancing.endpoints.registry import ENDPOINTS, Target, TargetReader
from balancing.health.ejector import Ejector
from balancing.live.rates import NOTHING_LIMITED, Rates
from balancing.live.slots import EpochMissing, NotReady, Reservation, Slots
from balancing.live.state import CallOutcome, Ending
from balancing.live.store import LiveStore
from llmqueue_project.config import configuration
from scheduling.dispatch.chooser import Chooser
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.room import ModelRoom
from scheduling.dispatch.slot import Placement, Slot
from scheduling.models import Api
from scheduling.specs import estimated_tokens
from scheduling.statements import RUNNING
from scheduling.tickets.gate import TicketGate
from stores.group_commit import Grouped
from stores.postgres import Database, fetch

log = structlog.get_logger(__name__)
# Every worker looks twice in this time whether Valkey has lost its memory, and takes the slots of
# its running calls again; so long nobody gets any.
QUIET_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Placed:
    """A slot for each job, None where there was no room after all.

    Attributes:
        confirmed: ends when the slots are written down as the jobs' and the rest is given back.
    """

    slots: list[Slot | None]
    confirmed: asyncio.Task[None]


class EndpointPool:
    """Every slot comes from here and goes back here.

    Raises, in every coroutine unless it says otherwise: redis.RedisError when Valkey is away.
    """

    def __init__(
        self, slots: Slots, rates: Rates, live: LiveStore, database: Database, gate: TicketGate
    ) -> None:
        config = configuration()
        self._slots = slots
        self._rates = rates
        self._live = live
        self._database = database
        self._gate = gate
        self._cooldown_seconds = config.balancing.failure_cooldown_seconds
        self._epoch: bytes | None = None
        self._unconfirmed: set[tuple[int, str]] = set()
        self._unfreed: list[Ending] = []
        self._free = Grouped(self._free_group)
        self.view = EndpointView()
        self._chooser = Chooser(self.view)
        self._ejector = Ejector(live, self.view)
        self._reader = TargetReader()

    async def refresh(self) -> None:
        """Read the rows of endpoints and model pools again.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        targets = self._reader.read(await fetch(self._database.relaxed, ENDPOINTS))
        self.view.model_pools.update(await fetch(self._database.relaxed, MODEL_POOLS))
        self.view.update_targets(targets)

    async def refresh_live(self) -> None:
        """Read the live state again, beside the requests."""
        self.view.update_live(*await self._live.read(list(self.view.targets)))

    def check_credentials(self) -> None:
        """
        Raises:
            ImproperlyConfigured: in production, when a stored credential cannot be read.
        """
        known = self.view.targets.values()
        credentials.check_readable(target.access.encrypted_credential for target in known)

    def rules(self, model: str) -> Rules:
        """How requests for a model are balanced."""
        return self.view.model_pools.rules_for(model)

    def allowed(self) -> list[tuple[int, int, frozenset[str]]]:
        """Slots of each endpoint that takes work: by its operator, as learned; its models."""
        known, limits = self.view.targets, self.view.limits
        return [
            (known[each].max_concurrent, limit, known[each].model_names)
            for each, limit in limits.items()
        ]

    def others_serving(self, model: str, tried: frozenset[int], api: str = Api.CHAT) -> bool:
        """Whether an endpoint not yet tried could serve the model by an API."""
        return bool(self.view.serving(model, tried, api))

    def mark_failing(self, target: Target) -> None:
        """Prefer others for a while; other workers are told when the slot is freed."""
        self.view.mark_failing(target.id)

    def mark_well(self, target: Target) -> None:
        self.view.mark_well(target.id)

    def charge(self, endpoints: Collection[int]) -> None:
        """These failed a request that another endpoint has answered: the failures were theirs."""
        for endpoint in endpoints:
            self._free.soon(Ending(endpoint, "", CallOutcome.CHARGED))

    async def reserve(self, wanted: int) -> ModelRoom:
        """Up to `wanted` slots of every endpoint that takes work; 0 only looks.

        Raises:
            NotReady: Valkey lost its memory a moment ago and running calls register again.
        """
        limits, known = self.view.limits, self.view.targets
        working = [known[endpoint] for endpoint in limits]
        allowance = await self._rates.take(working, wanted)
        if allowance is NOTHING_LIMITED:
            return ModelRoom(await self._reserve(limits, wanted), known)
        try:
            reservation = await self._reserve(allowance.open_to(limits), wanted)
        except (NotReady, RedisError):
            await self._rates.count(allowance, {})
            raise
        return ModelRoom(reservation.within(allowance), known)

    async def _reserve(self, limits: Mapping[int, int], wanted: int) -> Reservation:
        try:
            return await self._slots.reserve(limits, wanted)
        except EpochMissing:
            quiet = await self._open_epoch()
            if quiet:
                raise NotReady(quiet) from None
            return await self._slots.reserve(limits, wanted)

    async def _open_epoch(self) -> float:
        """Say when slots are given again: in so many seconds, if anything runs."""
        running = (await fetch(self._database.relaxed, RUNNING))[0][0]
        quiet = QUIET_SECONDS if running else 0.0
        await self._slots.open_epoch(quiet_seconds=quiet)
        return quiet

    async def remember(self, held: Mapping[int, Sequence[str]]) -> bool:
        """Take the slots of what runs again where Valkey has lost its memory; whether it had.

        Late, too, and above an endpoint's limit: the calls run already.

        Args:
            held: endpoint id -> leases.

        Raises:
            psycopg.OperationalError: PostgreSQL is away.
        """
        epoch = await self._slots.epoch()
        if epoch is None:
            await self._open_epoch()
            epoch = await self._slots.epoch()
        if epoch == self._epoch:
            return False
        await self._slots.add([(each, lease) for each, leases in held.items() for lease in leases])
        self._epoch = epoch
        return True

    def place(self, room: ModelRoom, jobs: Sequence[Claimed]) -> Placed:
        """Choose an endpoint for each job; what was reserved beyond that is given back.

        The jobs' calls need not wait until the slots are written down: they are reserved.
        """
        placements = self._chooser.choose(room.reservation, jobs)
        confirmed = asyncio.create_task(self._confirm(room.reservation, jobs, placements))
        slots = [
            None if placement is None else Slot(placement, job.lease, self, confirmed)
            for job, placement in zip(jobs, placements, strict=True)
        ]
        return Placed(slots, confirmed)

    async def give_back(self, room: ModelRoom) -> None:
        """Return reserved slots unused."""
        await self.place(room, ()).confirmed

    async def take_slot(
        self,
        job: Claimed,
        models: Sequence[str],
        tried: frozenset[int],
        because: Mapping[str, str],
    ) -> Slot | None:
        """A slot for a further call of a job, at an endpoint that was not tried.

        Args:
            models: by which it may be served, the preferred one first.
            because: what the record of the choice should say.

        Returns:
            None where there is no room, or Valkey or PostgreSQL is away.
        """
        placement: Placement | None = None
        try:
            reservation = (await self.reserve(1)).reservation
            for model in models:
                fallback = "" if model == job.model else model
                (placement,) = self._chooser.choose(
                    reservation, [job], tried, model=fallback, because=because
                )
                if placement is not None and placement.target.id not in tried:
                    break
                placement = None
            await self._confirm(reservation, [job], [placement])
        except (RedisError, NotReady, psycopg.OperationalError):
            return None
        return None if placement is None else Slot(placement, job.lease, self)

    async def _confirm(
        self,
        reservation: Reservation,
        jobs: Sequence[Claimed],
        placements: Sequence[Placement | None],
    ) -> None:
        """Turn the reservation into the jobs' slots and give back the rest.

        If Valkey goes away now, the next heartbeat takes the slots of what runs.
        """
        taken: dict[int, list[str]] = {}
        for job, placement in zip(jobs, placements, strict=True):
            if placement is not None:
                taken.setdefault(placement.target.id, []).append(job.lease)
        try:
            await self._slots.confirm(reservation, taken)
        except RedisError as error:
            log.warning("slots.bind_waits", slots=len(jobs), error=str(error))
            self._unconfirmed |= {(e, lease) for e, leases in taken.items() for lease in leases}
        if reservation.allowance is not NOTHING_LIMITED:
            await self._count(reservation, jobs, placements)

    async def _count(
        self,
        reservation: Reservation,
        jobs: Sequence[Claimed],
        placements: Sequence[Placement | None],
    ) -> None:
        """What starts now counts against its endpoint's rate limits; the rest is refunded."""
        started: dict[int, list[tuple[str, int]]] = {}
        for job, placement in zip(jobs, placements, strict=True):
            if placement is not None:
                call = job.lease, estimated_tokens(job.body, job.cost)
                started.setdefault(placement.target.id, []).append(call)
        try:
            await self._rates.count(reservation.allowance, started)
        except RedisError as error:
            log.warning("rates.settle_waits", error=str(error))

    async def renew(self, held: Mapping[int, Sequence[str]]) -> None:
        """Keep slots; those that could not be confirmed or freed are confirmed or freed now."""
        await self._slots.renew(held)
        await self._rates.flush()
        if self._unconfirmed:
            running = {(e, lease) for e, leases in held.items() for lease in leases}
            await self._slots.add(sorted(self._unconfirmed & running))
            self._unconfirmed.clear()
        if self._unfreed:
            waiting, self._unfreed = self._unfreed, []
            await self._free_group(waiting)

    def spent(self, lease: str, tokens: int | None) -> None:
        """A call has ended and used so many tokens; None when its endpoint did not say."""
        self._rates.spent(lease, tokens)

    def free(self, ending: Ending) -> Awaitable[None]:
        """Free a slot and remember what its call says; later, if Valkey is away.

        The gate knows of the room at once: a ticket is fetched while the slot is being freed, and
        whoever reserves for it waits for `freed`.
        """
        self._rates.spent(ending.lease, None)
        freeing = self._free.soon(ending)
        self._gate.freed()
        return freeing

    async def freed(self) -> None:
        """Wait until what was freed has been sent: a reservation sent from then on sees it."""
        await self._free.begun()

    async def _free_group(self, endings: Sequence[Ending]) -> list[None]:
        try:
            verdicts = await self._slots.release(endings, cooldown_seconds=self._cooldown_seconds)
        except RedisError as error:
            log.warning("slots.release_waits", slots=len(endings), error=str(error))
            self._unfreed.extend(endings)
        else:
            for verdict in verdicts:
                await self._ejector.judge(verdict)
        return [None] * len(endings)
