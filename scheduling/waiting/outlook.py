"""What is a waiting job told: its place in the queue and its wait?"""

from __future__ import annotations

from dataclasses import dataclass

from scheduling.models import Priority
from scheduling.policies.waiting import wait_seconds
from scheduling.waiting.level_settings import floors
from scheduling.waiting.queue_view import QueueView


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a waiting job is told.

    `position` 1 is next; 0 means that it does not wait. `wait_seconds` is an estimate, None while
    there is nothing to estimate by: nothing has ended yet, or the level is paused.
    """

    position: int
    wait_seconds: float | None


def outlook_of(queue: QueueView, level: Priority, model: str, fair_tag: float) -> Outlook | None:
    """Place and wait of a queued job; None when no endpoint serves it or the view is old."""
    models = queue.load.model_set(model)
    if models is None or queue.is_old:
        return None
    jobs, work = queue.before(models, level, fair_tag)
    position = max(1, round(jobs) + 1)
    if queue.pauses.stops(level):
        return Outlook(position, None)
    wait = wait_seconds(models.load, int(level), ahead=work, floors=floors())
    return Outlook(position, None if wait is None else round(max(0.0, wait - queue.age), 2))
