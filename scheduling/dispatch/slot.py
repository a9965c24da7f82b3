"""A slot of an endpoint in a worker's hands, and why that endpoint was chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from balancing.endpoints.registry import Target
from balancing.live.state import Ending


@dataclass(frozen=True, slots=True)
class Placement:
    """A job's endpoint, and why it was chosen (JSON text).

    Attributes:
        first_seconds: when its first word is expected there, from the call; 0 when unknown.
        model: the fallback model it is served by; empty when it is the one that was asked for.
    """

    target: Target
    why: str
    first_seconds: float = 0.0
    model: str = ""


class SlotKeeper(Protocol):
    """Where slots are held: Valkey, through the pool."""

    def free(self, ending: Ending) -> Awaitable[None]:
        """Free a slot and remember what its call says of the endpoint."""
        ...


class Slot:
    """Held from the claim until `release`, which its holder owes it.

    Args:
        lease: the member under which Valkey knows it.
        confirming: ends when the slot is written down as this job's.
    """

    __slots__ = ("_confirming", "_keeper", "is_held", "lease", "placement")

    def __init__(
        self,
        placement: Placement,
        lease: str,
        keeper: SlotKeeper,
        confirming: asyncio.Task[None] | None = None,
    ) -> None:
        self.placement = placement
        self.lease = lease
        self.is_held = True
        self._keeper = keeper
        self._confirming = confirming

    @property
    def target(self) -> Target:
        return self.placement.target

    async def release(self, ending: Ending | None = None) -> None:
        """Free the slot, once.

        Args:
            ending: what its call says of the endpoint; None says nothing.
        """
        if not self.is_held:
            return
        self.is_held = False
        if self._confirming is not None:
            await asyncio.shield(self._confirming)
        await self._keeper.free(ending or Ending(self.target.id, self.lease))
