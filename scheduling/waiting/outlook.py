"""What is a waiting job told: its place in the queue and its wait?"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from scheduling.models import Priority
from scheduling.policies.waiting import wait_seconds
from scheduling.waiting.level_settings import floors
from scheduling.waiting.queue_view import QueueView

LEAST_LEFT = 0.25


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a waiting job is told.

    Attributes:
        position: its place in fair order among the jobs that wait at its level for the same
            endpoints; 1 is next.
        wait_seconds: an estimate; None while there is nothing to estimate by: nothing has ended
            yet, the level is paused, or Valkey is away.
        is_paused: whether its level is.
    """

    position: int
    wait_seconds: float | None
    is_paused: bool = False


def outlook_of(
    queue: QueueView, level: Priority, model: str, fair_tag: float, job_id: UUID
) -> Outlook | None:
    """Place and wait of a queued job; None when no endpoint serves it or the view is old."""
    models = queue.load.model_set(model)
    if models is None or queue.is_old:
        return None
    position, work = queue.before(models, level, (fair_tag, str(job_id)))
    if queue.pauses.stops(level):
        return Outlook(position, None, is_paused=True)
    if queue.stands_still:
        return Outlook(position, None)
    load = queue.load_now(models)
    wait = wait_seconds(load, int(level), ahead=work, floors=floors(), starts=lambda: models.starts)
    return Outlook(position, None if wait is None else round(_left(wait, queue.age), 2))


def _left(wait: float, age: float) -> float:
    """What is left of a wait told by a view of this age: not nothing while the job waits."""
    return max(wait - age, LEAST_LEFT * wait)
