"""What there is, what it does, and why what waits does wait: for `manage.py capacity` and metrics.

`desired_replicas` is for autoscalers (KEDA, HPA): of as many replicas as endpoints take work today,
so many would start every level's queue within its `max_wait`:

    replicas x max over levels of (queued work / drain rate) / target wait

where queued work is in requests and the drain rate in requests a second, both as admission sees
them, and the target wait is the level's `scheduling.max_wait`. It never falls below the replicas
that the slots in use fill, so that work that runs is not cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection
from redis.exceptions import RedisError

from balancing.endpoints.registry import Target, known_endpoints
from balancing.live.slots import slots_in_use
from scheduling.dispatch import level_slots
from scheduling.models import Held, Priority
from scheduling.pauses import Pauses
from scheduling.policies import admission as policy
from scheduling.policies import waiting
from scheduling.reports import levels as outlook
from scheduling.reports.levels import LevelSummary
from scheduling.statements import HELD, UNSERVED
from scheduling.waiting import admission
from scheduling.waiting.load import Load, Pool
from stores import control

CAP = 100_000


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
    seen = admission.lately()
    endpoints = known_endpoints()
    used = _in_use(endpoints)
    held, unserved = _held(), _unserved(endpoints)
    capped = level_caps()
    summaries = {each.level: each for each in outlook.level_summary()}
    levels = [
        _level(
            summaries[level],
            seen.load,
            seen.pauses,
            held=held.get(level, {}),
            unserved=unserved.get(level, {}),
            cap=capped.get(level.queue, (0, None))[1],
        )
        for level in Priority
    ]
    return Capacity(
        levels=levels,
        endpoints=[
            EndpointCapacity(
                each.name,
                each.state,
                used.get(each.id),
                each.max_concurrent,
                tuple(sorted(each.model_names)),
            )
            for each in endpoints
        ],
        desired_replicas=_desired(seen.load, endpoints, used),
        intake_paused=seen.pauses.intake,
        reasons=_reasons(levels, unserved, endpoints, used),
    )


def level_caps() -> dict[str, tuple[int, int]]:
    """Level -> (slots in use, cap) of the capped levels; empty while Valkey is away."""
    try:
        return level_slots.shown(control.client())
    except RedisError:
        return {}


def desired_replicas() -> int:
    """What the gauge `llmqueue_desired_replicas` shows.

    Raises:
        redis.RedisError: Valkey is away. No figure then: one without the slots in use would let
            an autoscaler stop what runs.
    """
    endpoints = known_endpoints()
    used = slots_in_use(control.client(), [each.id for each in endpoints])
    return _desired(admission.lately().load, endpoints, used)


def _desired(load: Load, endpoints: Sequence[Target], used: Mapping[int, int]) -> int:
    working = [each for each in endpoints if each.takes_work]
    slots = sum(each.max_concurrent for each in working)
    busy = sum(used.get(each.id, 0) for each in working) / slots if slots else 0.0
    wanted = 0
    # The pools share no endpoint: what each wants adds up.
    for pool in load.pools:
        own = [each for each in working if each.model_names & pool.models]
        own_slots = sum(each.max_concurrent for each in own)
        own_busy = sum(used.get(each.id, 0) for each in own) / own_slots if own_slots else 0.0
        wanted += policy.desired_replicas(
            replicas=len(own),
            queued={int(level): pool.load.levels[level].queued for level in Priority},
            rates={int(level): _rate(pool, level) for level in Priority},
            targets={int(level): admission.limit_seconds(level) for level in Priority},
            busy_share=own_busy,
        )
    if load.pools:
        # What waits for a model that nobody serves any more asks for a first endpoint.
        served = frozenset[str]().union(*(each.model_names for each in working))
        return wanted + any(each.queued and each.model not in served for each in load.models)
    # Nothing waits; or what waits has no endpoint at all, and asks for a first one.
    queued = {int(each.level): each.queued for each in load.models if each.queued}
    return policy.desired_replicas(
        replicas=len(working), queued=queued, rates={}, targets={}, busy_share=busy
    )


def _rate(pool: Pool, level: Priority) -> float | None:
    return waiting.level_rate(pool.load, int(level), admission.floors())


def _level(
    summary: LevelSummary,
    load: Load,
    pauses: Pauses,
    *,
    held: Mapping[str, int],
    unserved: Mapping[str, int],
    cap: int | None,
) -> LevelCapacity:
    level = summary.level
    rates = [rate for pool in load.pools if (rate := _rate(pool, level)) is not None]
    waits = [
        wait
        for pool in load.pools
        if (
            wait := waiting.wait_seconds(
                pool.load,
                int(level),
                ahead=pool.load.levels[level].queued,
                floors=admission.floors(),
            )
        )
        is not None
    ]
    paused = pauses.stops(level)
    return LevelCapacity(
        level=level,
        queued=summary.queued,
        held=held,
        processing=summary.processing,
        oldest_wait_seconds=summary.oldest_wait_seconds,
        drain_rate=None if paused or not rates else sum(rates),
        limit_seconds=admission.limit_seconds(level),
        estimated_wait_seconds=None if paused or not waits or unserved else max(waits),
        paused=paused,
        cap=cap,
    )


def _reasons(
    levels: Sequence[LevelCapacity],
    unserved: Mapping[Priority, Mapping[str, int]],
    endpoints: Sequence[Target],
    used: Mapping[int, int],
) -> list[str]:
    free = sum(
        max(0, each.max_concurrent - used.get(each.id, 0)) for each in endpoints if each.takes_work
    )
    found = []
    for each in levels:
        name = each.level.queue
        lost = unserved.get(each.level, {})
        found += [
            f"{name}: {jobs} wait for {model}, which no enabled endpoint serves"
            for model, jobs in lost.items()
        ]
        others = each.queued - sum(lost.values())
        if others > 0:
            found.append(f"{name}: {others} wait: {_why(each, free=free)}")
        found += [f"{name}: {jobs} held: {Held(why).label}" for why, jobs in each.held.items()]
    return found


def _why(level: LevelCapacity, *, free: int) -> str:
    if level.paused:
        return "the level is paused"
    if level.cap is not None and level.processing >= level.cap:
        return f"the level holds the {level.cap} slots that it may"
    if free == 0:
        return "every slot is in use"
    return f"{free} slots are free: for other models, or a worker for this level is missing"


def _held() -> dict[Priority, dict[str, int]]:
    found: dict[Priority, dict[str, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(HELD, {"cap": CAP})
        for level, reason, jobs in cursor.fetchall():
            found.setdefault(Priority(level), {})[reason] = jobs
    return found


def _unserved(endpoints: Sequence[Target]) -> dict[Priority, dict[str, int]]:
    served = {name for each in endpoints if each.takes_work for name in each.model_names}
    found: dict[Priority, dict[str, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(UNSERVED, {"cap": CAP, "models": sorted(served)})
        for level, model, jobs in cursor.fetchall():
            found.setdefault(Priority(level), {})[model] = jobs
    return found


def _in_use(endpoints: Sequence[Target]) -> dict[int, int]:
    try:
        return slots_in_use(control.client(), [each.id for each in endpoints])
    except RedisError:
        return {}
