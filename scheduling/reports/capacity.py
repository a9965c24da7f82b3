"""What capacity is there, what does it do, and why does what waits wait? As of now, for people.

`manage.py capacity` and the first page of admin show it. How many slots a level may hold is decided
in `policies/capacity.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from redis.exceptions import RedisError

from balancing.endpoints.registry import Target, known_endpoints
from balancing.live.slots import slots_in_use
from scheduling.dispatch import level_slots
from scheduling.models import Priority
from scheduling.policies.waiting import wait_seconds
from scheduling.reports.level_summaries import LevelSummary, level_summary
from scheduling.reports.reasons import Unserved, held_by_level, reasons_of, unserved_by_level
from scheduling.reports.replicas import drain_rate, replicas_for
from scheduling.waiting import admission
from scheduling.waiting.level_settings import floors, longest_wait_seconds
from scheduling.waiting.model_set import ModelSet
from scheduling.waiting.queue_view import QueueView
from stores import control


@dataclass(frozen=True, slots=True)
class LevelCapacity:
    """One level. `drain_rate` is of requests started a second while it waits; None is unknown."""

    level: Priority
    queued: int
    held: Mapping[str, int]
    processing: int
    oldest_wait_seconds: float
    drain_rate: float | None
    limit_seconds: float
    estimated_wait_seconds: float | None
    paused: bool
    cap: int | None = None
    """Most slots that the level may hold over all workers just now; None is no cap."""


@dataclass(frozen=True, slots=True)
class EndpointCapacity:
    """One endpoint; `in_use` is None while Valkey is away."""

    name: str
    state: str
    in_use: int | None
    slots: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Capacity:
    levels: list[LevelCapacity]
    endpoints: list[EndpointCapacity]
    desired_replicas: int
    intake_paused: bool
    reasons: list[str] = field(default_factory=list)


def survey() -> Capacity:
    """The whole picture, at most a second old."""
    seen = _Seen.now()
    levels = [_level(seen, level) for level in Priority]
    return Capacity(
        levels=levels,
        endpoints=[_endpoint(each, seen.used.get(each.id)) for each in seen.endpoints],
        desired_replicas=replicas_for(seen.queue.load, seen.endpoints, seen.used),
        intake_paused=seen.queue.pauses.intake,
        reasons=[
            reason
            for each in levels
            for reason in reasons_of(each, seen.unserved.get(each.level, {}), seen.free)
        ],
    )


def level_caps() -> dict[str, tuple[int, int]]:
    """Level -> (slots in use, cap) of the capped levels; empty while Valkey is away."""
    try:
        return level_slots.shown(control.client())
    except RedisError:
        return {}


@dataclass(frozen=True, slots=True)
class _Seen:
    """Everything that a survey is made of, read at one moment."""

    queue: QueueView
    endpoints: Sequence[Target]
    used: Mapping[int, int]
    summaries: Mapping[Priority, LevelSummary]
    held: Mapping[Priority, Mapping[str, int]]
    unserved: Unserved
    caps: Mapping[str, tuple[int, int]]

    @classmethod
    def now(cls) -> _Seen:
        endpoints = known_endpoints()
        return cls(
            queue=admission.current().queue,
            endpoints=endpoints,
            used=_in_use(endpoints),
            summaries={each.level: each for each in level_summary()},
            held=held_by_level(),
            unserved=unserved_by_level(endpoints),
            caps=level_caps(),
        )

    @property
    def free(self) -> int:
        """Slots that are free, at all endpoints together."""
        return sum(
            max(0, each.max_concurrent - self.used.get(each.id, 0))
            for each in self.endpoints
            if each.takes_work
        )


def _level(seen: _Seen, level: Priority) -> LevelCapacity:
    summary, paused = seen.summaries[level], seen.queue.pauses.stops(level)
    model_sets = seen.queue.load.model_sets
    rates = _known(drain_rate(each, level) for each in model_sets)
    waits = _known(_wait(each, level) for each in model_sets)
    is_unknown = paused or bool(seen.unserved.get(level))
    return LevelCapacity(
        level=level,
        queued=summary.queued,
        held=seen.held.get(level, {}),
        processing=summary.processing,
        oldest_wait_seconds=summary.oldest_wait_seconds,
        drain_rate=None if paused or not rates else sum(rates),
        limit_seconds=longest_wait_seconds(level),
        estimated_wait_seconds=None if is_unknown else max(waits, default=None),
        paused=paused,
        cap=seen.caps.get(level.queue, (0, None))[1],
    )


def _known(figures: Iterable[float | None]) -> list[float]:
    return [figure for figure in figures if figure is not None]


def _wait(models: ModelSet, level: Priority) -> float | None:
    """The wait of a job that joined the level's end now."""
    ahead = models.load.levels[level].queued
    return wait_seconds(
        models.load, int(level), ahead=ahead, floors=floors(), starts=lambda: models.starts
    )


def _endpoint(endpoint: Target, in_use: int | None) -> EndpointCapacity:
    return EndpointCapacity(
        endpoint.name,
        endpoint.state,
        in_use,
        endpoint.max_concurrent,
        tuple(sorted(endpoint.model_names)),
    )


def _in_use(endpoints: Sequence[Target]) -> dict[int, int]:
    """Endpoint -> slots in use; empty while Valkey is away."""
    try:
        return slots_in_use(control.client(), [each.id for each in endpoints])
    except RedisError:
        return {}
