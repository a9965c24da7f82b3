"""Why does what waits wait, in words?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from django.db import connection

from balancing.endpoints.registry import Target
from scheduling.models import Held, Priority
from scheduling.statements import HELD, UNSERVED

# Counts go no further.
CAP = 100_000
# Level -> model that no enabled endpoint serves -> jobs that wait for it.
Unserved = Mapping[Priority, Mapping[str, int]]


class WaitingLevel(Protocol):
    """What reasons are given by; `cap` is the most slots that the level may hold, or None."""

    @property
    def level(self) -> Priority: ...
    @property
    def queued(self) -> int: ...
    @property
    def held(self) -> Mapping[str, int]: ...
    @property
    def processing(self) -> int: ...
    @property
    def paused(self) -> bool: ...
    @property
    def cap(self) -> int | None: ...


def reasons_of(level: WaitingLevel, unserved: Mapping[str, int], free: int) -> list[str]:
    """A sentence for each reason.

    Args:
        unserved: models that no enabled endpoint serves -> jobs that wait for them.
        free: slots that are free, at all endpoints together.
    """
    name = level.level.queue
    found = [
        f"{name}: {jobs} wait for {model}, which no enabled endpoint serves"
        for model, jobs in unserved.items()
    ]
    others = level.queued - sum(unserved.values())
    if others > 0:
        found.append(f"{name}: {others} wait: {_why(level, free)}")
    return found + [f"{name}: {jobs} held: {Held(why).label}" for why, jobs in level.held.items()]


def _why(level: WaitingLevel, free: int) -> str:
    if level.paused:
        return "the level is paused"
    if level.cap is not None and level.processing >= level.cap:
        return f"the level holds the {level.cap} slots that it may"
    if free == 0:
        return "every slot is in use"
    return f"{free} slots are free: for other models, or a worker for this level is missing"


def held_by_level() -> dict[Priority, dict[str, int]]:
    """Level -> why jobs are held there -> how many."""
    return _counted(HELD, {"cap": CAP})


def unserved_by_level(endpoints: Sequence[Target]) -> dict[Priority, dict[str, int]]:
    """What `Unserved` says."""
    served = {name for each in endpoints if each.takes_work for name in each.model_names}
    return _counted(UNSERVED, {"cap": CAP, "models": sorted(served)})


def _counted(statement: str, values: dict[str, Any]) -> dict[Priority, dict[str, int]]:
    """Rows of level, word and count."""
    found: dict[Priority, dict[str, int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        for level, word, jobs in cursor.fetchall():
            found.setdefault(Priority(level), {})[word] = jobs
    return found
