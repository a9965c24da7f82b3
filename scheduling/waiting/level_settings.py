"""What do the settings say of each level: its floor, its own limit of slots, its longest wait?"""

from __future__ import annotations

from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.tickets.level_policy import assures_floors


def floors() -> list[float]:
    """Each level's floor, highest level first; none under a policy that keeps no floors."""
    if not assures_floors():
        return [0.0] * len(Priority)
    configured = configuration().scheduling.floors
    return [configured.get(level.queue, 0.0) for level in Priority]


def own_limits() -> dict[str, int]:
    """The operator's own limit of slots, of each level that has one."""
    levels = configuration().scheduling.levels
    return {name: level.max_concurrent for name, level in levels.items() if level.max_concurrent}


def most_running() -> list[int]:
    """Each level's own limit of slots, highest level first; 0 is none."""
    own = own_limits()
    return [own.get(level.queue, 0) for level in Priority]


def longest_wait_seconds(level: Priority) -> float:
    """The longest wait at which a request of this level is admitted."""
    return configuration().scheduling.max_wait.get(level.queue, float("inf"))
