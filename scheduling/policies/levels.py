"""Which priority level goes next?

A policy orders the levels before each pick, and `charge` tells it which one was picked. Each worker
process has one instance, in its gate (`scheduling/tickets/gate.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

MOST = 1000
_REMEMBERED = 64


class LevelPolicy(Protocol):
    """Made with the configured share of each level; levels come highest first."""

    def order(self, levels: Sequence[str]) -> list[str]: ...

    def charge(self, level: str) -> None: ...

    def refund(self, level: str) -> None: ...

    def burst(self, level: str, levels: Sequence[str]) -> int:
        """How many more picks of `level` may follow at once.

        It is called right after a pick, when every level ordered before it was seen empty.
        """
        ...


class Strict:
    """Always the highest level that has work; the rest may starve."""

    assures_floors = False

    def __init__(self, shares: Mapping[str, float]) -> None:
        del shares

    def order(self, levels: Sequence[str]) -> list[str]:
        return list(levels)

    def charge(self, level: str) -> None:
        pass

    def refund(self, level: str) -> None:
        pass

    def burst(self, level: str, levels: Sequence[str]) -> int:
        del level, levels
        return MOST


class Floors:
    """Strict, except that a level that is owed a pick of its floor goes first.

    Every pick adds each level's floor to what the level is owed, and takes one pick from what the
    picked level is owed, but not below zero: picks while no higher level has work are no debt. A
    level ordered before the picked one was empty and loses what it was owed, so that an idle level
    saves up no credit. Floors thus serve the one case they are for: a level with work that higher
    levels keep passing over. It gets exactly its floor. The highest level gives way only once a
    floor is owed three picks, so that its bursts may delay the others' turns. A level is never owed
    more than 4 picks.

    Args:
        shares: floor per level as a share of picks, for example `{"low": 0.1}`.
    """

    CLAMP = 4.0
    # So many picks of a floor may be owed before the highest level gives way. Its requests come in
    # bursts that are soon over, and then the floors are paid.
    PATIENCE = 3.0
    _ROUNDING = 1e-9

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._owed = dict.fromkeys(shares, 0.0)
        self._floors = dict(shares)
        self._paid: dict[str, deque[float]] = {}
        self._last_order: list[str] = []

    def order(self, levels: Sequence[str]) -> list[str]:
        owed = [level for level in levels if self._owed.get(level, 0.0) >= 1 - self._ROUNDING]
        owed.sort(key=lambda level: -self._owed[level])
        late = [level for level in owed if self._owed[level] >= self.PATIENCE - self._ROUNDING]
        best = [level for level in levels[:1] if level not in late]
        first = [*late, *best, *(level for level in owed if level not in [*late, *best])]
        self._last_order = first + [level for level in levels if level not in first]
        return list(self._last_order)

    def charge(self, level: str) -> None:
        for empty in _before(level, self._last_order):
            if empty in self._owed:
                self._owed[empty] = 0.0
        before = self._owed.get(level, 0.0)
        self._earn(1.0)
        self._owed_by(level, -1.0)
        self._paid.setdefault(level, deque(maxlen=_REMEMBERED)).append(
            before + self._floors.get(level, 0.0) - self._owed.get(level, 0.0)
        )

    def refund(self, level: str) -> None:
        """Undo a charge, which may have taken less than a pick."""
        paid = self._paid.get(level)
        self._owed_by(level, paid.pop() if paid else 0.0)
        self._earn(-1.0)

    def burst(self, level: str, levels: Sequence[str]) -> int:
        """Until a level behind this one is owed a pick; none when a higher level is behind it.

        Behind it in the order of the last pick: the levels before it were seen empty then.
        """
        if level not in self._last_order:
            return 0
        behind = self._last_order[self._last_order.index(level) + 1 :]
        if any(levels.index(other) < levels.index(level) for other in behind):
            return 0
        due = self.PATIENCE if level == levels[0] else 1.0
        waits = [
            (due - self._owed[other]) / self._floors[other]
            for other in behind
            if self._floors.get(other)
        ]
        return max(0, int(min(waits, default=MOST)))

    def _earn(self, picks: float) -> None:
        for level, floor in self._floors.items():
            self._owed_by(level, picks * floor)

    def _owed_by(self, level: str, picks: float) -> None:
        if level in self._owed:
            self._owed[level] = max(0.0, min(self.CLAMP, self._owed[level] + picks))


class Weighted:
    """Smooth weighted round robin: picks in proportion to the shares, spread evenly.

    A level without a share gets the least one. A level ordered before the picked one was empty:
    it takes no part in that round and keeps no credit. Source: nginx's upstream module.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._weights = dict(shares)
        self._least = min(self._weights.values(), default=1.0)
        self._current: dict[str, float] = {}
        self._last_order: list[str] = []

    def order(self, levels: Sequence[str]) -> list[str]:
        for level in levels:
            self._current.setdefault(level, 0.0)
        self._last_order = sorted(
            levels, key=lambda level: -(self._current[level] + self._weight(level))
        )
        return list(self._last_order)

    def charge(self, level: str) -> None:
        for empty in _before(level, self._last_order):
            self._current[empty] = 0.0
        self._move(level, 1.0)

    def refund(self, level: str) -> None:
        self._move(level, -1.0)

    def burst(self, level: str, levels: Sequence[str]) -> int:
        """Only for a level that was last in the order of the pick: the rest was seen empty."""
        del levels
        return MOST if self._last_order[-1:] == [level] else 0

    def _weight(self, level: str) -> float:
        return self._weights.get(level, self._least)

    def _move(self, picked: str, picks: float) -> None:
        idle = set(_before(picked, self._last_order))
        levels = [level for level in {*self._current, picked} if level not in idle]
        total = sum(self._weight(level) for level in levels)
        for level in levels:
            change = picks * (self._weight(level) - (total if level == picked else 0.0))
            current = self._current.get(level, 0.0) + change
            self._current[level] = max(-4 * total, min(4 * total, current))


def _before(level: str, order: Sequence[str]) -> list[str]:
    return list(order[: order.index(level)]) if level in order else []
