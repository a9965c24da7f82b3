"""What does one worker know of the endpoints, and how many slots may each have in use now?"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace

from balancing.endpoints.model_pools import ModelPools
from balancing.endpoints.target import Target
from balancing.live.slots import Reservation, Room
from balancing.live.state import EMPTY, Live
from balancing.policies.profile import Profile
from balancing.policies.snapshot import EndpointSnapshot
from llmqueue_project.config import configuration

# For snapshots without a reservation.
_NO_ROOM = Room(used=0, reserved=0)


class EndpointView:
    """Rows and live state of all endpoints, read in the background; a choice reads nothing."""

    def __init__(self) -> None:
        self.model_pools = ModelPools()
        self.targets: dict[int, Target] = {}
        self.live: dict[int, Live] = {}
        self.limits: dict[int, int] = {}
        self._cooldown_seconds = configuration().balancing.failure_cooldown_seconds
        self._failing_until: dict[int, float] = {}
        self._clock_offset = 0.0

    @property
    def now(self) -> float:
        """Valkey's Unix time, as estimated here. Instants of other workers are compared with it."""
        return time.time() + self._clock_offset

    def update_targets(self, targets: Iterable[Target]) -> None:
        self.targets = {target.id: target for target in targets}
        self.work_out_limits()

    def update_live(self, at: float, live: Mapping[int, Live]) -> None:
        self._clock_offset = at - time.time()
        self.live = dict(live)
        self.work_out_limits()

    def work_out_limits(self) -> None:
        """Work out how many slots each endpoint may have in use, until the next time."""
        now = self.now
        working = [self._snapshot(t, _NO_ROOM, now) for t in self.targets.values() if t.takes_work]
        limits = dict.fromkeys((each.id for each in working), 0)
        for profile, models in self._models_by_profile(working):
            own = [
                replace(each, model_names=each.model_names & models)
                for each in working
                if not each.model_names.isdisjoint(models)
            ]
            for endpoint, slots in profile.room(own, now=now).items():
                limits[endpoint] = max(limits[endpoint], slots)
        self.limits = limits

    def _models_by_profile(
        self, endpoints: Iterable[EndpointSnapshot]
    ) -> list[tuple[Profile, set[str]]]:
        """Each profile in use, with the models that it balances."""
        # By identity, because two modules may have profiles of the same name.
        found: dict[int, tuple[Profile, set[str]]] = {}
        for model in {model for each in endpoints for model in each.model_names}:
            profile = self.model_pools.rules_for(model).profile
            found.setdefault(id(profile), (profile, set()))[1].add(model)
        return list(found.values())

    def snapshots(self, reservation: Reservation) -> dict[int, EndpointSnapshot]:
        """By endpoint id, what a choice sees that may take the reserved slots."""
        left = reservation.allowance.left
        return {
            endpoint: self._snapshot(
                self.targets[endpoint], room, reservation.at, left.get(endpoint)
            )
            for endpoint, room in reservation.rooms.items()
            if endpoint in self.targets
        }

    def _snapshot(
        self, target: Target, room: Room, now: float, requests_left: int | None = None
    ) -> EndpointSnapshot:
        live = self.live.get(target.id, EMPTY)
        on_trial = room.on_trial or 0.0 < live.ejected_until <= now
        failing_until = max(live.failing_until, self._failing_until.get(target.id, 0.0))
        return EndpointSnapshot(
            id=target.id,
            name=target.name,
            model_names=target.model_names,
            weight=target.weight,
            max_concurrent=target.max_concurrent,
            # Calls from before the ejection may still run. They do not keep the trial waiting.
            in_use=0 if on_trial and room.reserved else room.used,
            free=room.reserved,
            failing_until=failing_until,
            limit=int(live.limit + 1e-9),
            ejected_until=live.ejected_until,
            on_trial=on_trial,
            returned_at=live.returned_at,
            is_healthy=live.healthy,
            first_token_seconds=live.first_token,
            peak_first_token_seconds=live.peak_seconds(now),
            token_seconds=live.token,
            best_token_seconds=live.best_token,
            measured_at=live.measured_at,
            running_cost=room.cost,
            waiting=live.waiting,
            requests_left=requests_left,
            apis=target.apis,
        )

    def mark_failing(self, endpoint_id: int) -> None:
        """Prefer other endpoints for a while. Other workers read the same from Valkey."""
        self._failing_until[endpoint_id] = self.now + self._cooldown_seconds

    def mark_well(self, endpoint_id: int) -> None:
        self._failing_until.pop(endpoint_id, None)

    def peers_of(self, endpoint_id: int) -> list[int]:
        """The other endpoints that take work for a model of this one."""
        target = self.targets.get(endpoint_id)
        if target is None:
            return []
        return [
            other.id
            for other in self.targets.values()
            if other.id != endpoint_id
            and other.takes_work
            and not other.model_names.isdisjoint(target.model_names)
        ]

    def serving(self, model: str, tried: frozenset[int], api: str = "chat") -> list[Target]:
        """The endpoints that take work for a model by an API, without those that were tried."""
        return [
            target
            for target in self.targets.values()
            if target.takes_work and target.serves(model, api) and target.id not in tried
        ]
