"""How many endpoints of today's size would start every queue within its target wait?

For autoscalers (KEDA, HPA). Of as many replicas as endpoints take work today, so many are desired:

    replicas x max over levels of (queued work / drain rate) / target wait

where queued work is in requests and the drain rate in requests a second, both as admission sees
them, and the target wait is the level's `scheduling.max_wait`. The figure never falls below the
replicas that the slots in use fill, so that work that runs is not cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from balancing.endpoints.registry import Target, known_endpoints
from balancing.live.slots import slots_in_use
from scheduling.models import Priority
from scheduling.policies.admission import desired_replicas as desired
from scheduling.policies.waiting import level_rate
from scheduling.waiting import admission
from scheduling.waiting.level_settings import floors, longest_wait_seconds
from scheduling.waiting.model_set import ModelSet
from scheduling.waiting.queue_load import QueueLoad
from stores import control


def desired_replicas() -> int:
    """What the gauge `llmqueue_desired_replicas` shows.

    Raises:
        redis.RedisError: Valkey is away. No figure then: one without the slots in use would let
            an autoscaler stop what runs.
    """
    endpoints = known_endpoints()
    used = slots_in_use(control.client(), [each.id for each in endpoints])
    return replicas_for(admission.current().queue.load, endpoints, used)


def replicas_for(load: QueueLoad, endpoints: Sequence[Target], used: Mapping[int, int]) -> int:
    """The figure for a queue.

    Args:
        used: endpoint -> its slots in use.
    """
    working = [each for each in endpoints if each.takes_work]
    if not load.model_sets:
        return _without_endpoints(load, working, used)
    # The model sets share no endpoint: what each wants adds up.
    wanted = sum(_for_set(models, working, used) for models in load.model_sets)
    # What waits for a model that nobody serves any more asks for a first endpoint.
    served = frozenset[str]().union(*(each.model_names for each in working))
    return wanted + any(each.queued and each.model not in served for each in load.models)


def drain_rate(models: ModelSet, level: Priority) -> float | None:
    """Requests of a level that start in a second while work waits; None when not known."""
    return level_rate(models.load, int(level), floors())


def _for_set(models: ModelSet, working: Sequence[Target], used: Mapping[int, int]) -> int:
    own = [each for each in working if each.model_names & models.models]
    return desired(
        replicas=len(own),
        queued={int(level): models.load.levels[level].queued for level in Priority},
        rates={int(level): drain_rate(models, level) for level in Priority},
        targets={int(level): longest_wait_seconds(level) for level in Priority},
        busy_share=_busy_share(own, used),
    )


def _without_endpoints(load: QueueLoad, working: Sequence[Target], used: Mapping[int, int]) -> int:
    """Nothing waits; or what waits has no endpoint at all, and asks for a first one."""
    queued = {int(each.level): each.queued for each in load.models if each.queued}
    busy = _busy_share(working, used)
    return desired(replicas=len(working), queued=queued, rates={}, targets={}, busy_share=busy)


def _busy_share(endpoints: Sequence[Target], used: Mapping[int, int]) -> float:
    slots = sum(each.max_concurrent for each in endpoints)
    return sum(used.get(each.id, 0) for each in endpoints) / slots if slots else 0.0
