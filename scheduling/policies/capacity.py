"""How many slots may each level hold? Limits over all workers, recomputed every few seconds.

A strategy maps snapshots of the model sets to one cap a level. Every strategy keeps three rules:

- A level never gets more than its own `max_concurrent`, where the operator set one.
- A level with work gets at least one slot.
- No slot idles while a job waits that may have it: other levels get what a level does not use.

    static    the operator's limits, and nothing else
    dynamic   shares follow what waits: higher levels first, but every level with work keeps its
              share (`floors` of the slots), even when long jobs of others hold the rest
    adaptive  the operator's limits, scaled with the endpoints' learned limits
    hybrid    dynamic, over the endpoints' learned limits
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class LevelState:
    """One level: jobs that wait and run, its own limit (0 is none), its assured share of slots."""

    name: str
    waiting: int = 0
    running: int = 0
    limit: int = 0
    share: float = 0.0

    @property
    def demand(self) -> int:
        wanted = self.waiting + self.running
        return min(wanted, self.limit) if self.limit else wanted


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model set: its levels, highest first, and the slots there are.

    Attributes:
        slots: as the endpoints' operators allow.
        learned: as the endpoints' learned limits allow; no more than `slots`.
    """

    levels: tuple[LevelState, ...]
    slots: int
    learned: int


class Strategy(Protocol):
    """`watches`: whether it reads the queue, or the operator's limits alone."""

    @property
    def watches(self) -> bool: ...

    def caps(self, model_sets: Sequence[Snapshot]) -> dict[str, int]:
        """Most slots a level, over all model sets; a level that is absent has no cap.

        Args:
            model_sets: endpoints that share no model with others, each with the demand for it; at
                least one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Static:
    watches: bool = False

    def caps(self, model_sets: Sequence[Snapshot]) -> dict[str, int]:
        return {level.name: level.limit for level in model_sets[0].levels if level.limit}


@dataclass(frozen=True, slots=True)
class Dynamic:
    watches: bool = True

    def caps(self, model_sets: Sequence[Snapshot]) -> dict[str, int]:
        return _summed([_shared(each, each.slots) for each in model_sets], model_sets[0])


@dataclass(frozen=True, slots=True)
class Adaptive:
    watches: bool = True

    def caps(self, model_sets: Sequence[Snapshot]) -> dict[str, int]:
        slots = sum(model_set.slots for model_set in model_sets)
        scale = sum(map(_allowed, model_sets)) / slots if slots else 1.0
        return {
            level.name: max(1, round(level.limit * min(1.0, scale)))
            for level in model_sets[0].levels
            if level.limit
        }


@dataclass(frozen=True, slots=True)
class Hybrid:
    watches: bool = True

    def caps(self, model_sets: Sequence[Snapshot]) -> dict[str, int]:
        return _summed([_shared(each, _allowed(each)) for each in model_sets], model_sets[0])


NAMED: Mapping[str, Strategy] = {
    "static": Static(),
    "dynamic": Dynamic(),
    "adaptive": Adaptive(),
    "hybrid": Hybrid(),
}


def _allowed(model_set: Snapshot) -> int:
    return max(1, min(model_set.learned, model_set.slots))


def _summed(caps_by_set: Sequence[Mapping[str, int]], limits: Snapshot) -> dict[str, int]:
    found = {}
    for level in limits.levels:
        slots = sum(caps[level.name] for caps in caps_by_set)
        found[level.name] = min(slots, level.limit) if level.limit else slots
    return found


def _shared(model_set: Snapshot, slots: int) -> dict[str, int]:
    """From the highest level down: each may have all that is left, less what lower levels keep."""
    kept = [_kept(level, slots) for level in model_set.levels]
    left, caps = slots, {}
    for place, level in enumerate(model_set.levels):
        cap = max(1, kept[place], left - sum(kept[place + 1 :]))
        caps[level.name] = min(cap, level.limit) if level.limit else cap
        left -= min(level.demand, caps[level.name])
    return caps


def _kept(level: LevelState, slots: int) -> int:
    """The slots that a level keeps: its share, at least one, but no more than it has use for."""
    return min(level.demand, max(1, int(level.share * slots)))
