"""The room that a group of tickets has: slots reserved for it, by model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from balancing.endpoints.registry import Target
from balancing.live.slots import Reservation
from scheduling.dispatch.claimed import Claimed


class ModelRoom:
    """What a claim may choose among; it shrinks with every job that is claimed.

    Attributes:
        reservation: the slots, by endpoint.
        slots: model -> reserved slots on endpoints that serve it; models without any are absent.
        apis: model -> the APIs by which the endpoints that have room for it can be asked.
        free: slots that nobody had when the reservation was made, and that may be used now.
    """

    def __init__(self, reservation: Reservation, targets: Mapping[int, Target]) -> None:
        self.reservation = reservation
        self.slots: dict[str, int] = {}
        self.apis: dict[str, frozenset[str]] = {}
        left = reservation.allowance.left
        self.free = 0
        for endpoint, held in reservation.rooms.items():
            if endpoint not in targets:
                continue
            self.free += min(held.room, left.get(endpoint, held.room))
            if held.reserved:
                self._add(targets[endpoint], held.reserved)

    def _add(self, target: Target, slots: int) -> None:
        for model in target.model_names:
            self.slots[model] = self.slots.get(model, 0) + slots
            self.apis[model] = self.apis.get(model, target.apis) | target.apis

    def claimed(self, jobs: Iterable[Claimed]) -> None:
        """These jobs take a slot each."""
        for job in jobs:
            left = self.slots.get(job.model, 0) - 1
            if left > 0:
                self.slots[job.model] = left
            else:
                self.slots.pop(job.model, None)
