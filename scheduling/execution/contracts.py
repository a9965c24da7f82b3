"""What running a job asks of its neighbours."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from balancing.calls.answer import Answer, OnChunk
from balancing.endpoints.model_pools import Rules
from balancing.endpoints.registry import Target
from balancing.kinds.call import Call
from scheduling.dispatch.claimed import Claimed
from scheduling.dispatch.endings import FailedAttempt, Finish, SideCall
from scheduling.dispatch.slot import Slot
from scheduling.models import Status
from scheduling.outbox import JobStream


class Leases(Protocol):
    """The rows of leased jobs; `scheduling.dispatch.claims.Claims`."""

    async def finish(self, outcome: Finish) -> bool: ...

    async def retry(self, job: Claimed, failed: FailedAttempt, *, delay_seconds: float) -> bool: ...

    async def give_back(self, jobs: Sequence[Claimed], *, wrote: bool) -> int: ...

    async def note(self, job: Claimed, call: SideCall) -> None: ...


class Endpoints(Protocol):
    """Further slots, and what calls say of endpoints; `scheduling.dispatch.pool.EndpointPool`."""

    async def take_slot(
        self,
        job: Claimed,
        models: Sequence[str],
        tried: frozenset[int],
        because: Mapping[str, str],
    ) -> Slot | None: ...

    def others_serving(self, model: str, tried: frozenset[int], api: str) -> bool: ...

    def rules(self, model: str) -> Rules: ...

    def spent(self, lease: str, tokens: int | None) -> None: ...

    def mark_failing(self, target: Target) -> None: ...

    def mark_well(self, target: Target) -> None: ...

    def charge(self, endpoints: Collection[int]) -> None: ...


class Caller(Protocol):
    """Calls an endpoint; `balancing.calls.client.Client`."""

    async def call(self, target: Target, call: Call, on_chunk: OnChunk) -> Answer: ...


class Entries(Protocol):
    """Takes the entries of jobs' streams; `scheduling.outbox.Outbox`."""

    def put(self, stream: JobStream, event: str, data: str) -> None: ...


class Announces(Protocol):
    """Tells the app above that a job has ended; `scheduling.execution.announcer.Announcer`."""

    async def announce(self, job: Claimed, status: Status) -> None: ...
