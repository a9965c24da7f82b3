"""Which priority level goes next: the share between levels.

A policy orders the levels before each pick and is told which one was picked. It is pure state:
the kombu queue order class (`scheduling/tickets/messages.py`) holds one instance per worker
process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

MOST = 1000
_REMEMBERED = 64


class LevelPolicy(Protocol):
    """Built with the configured share per level; levels come highest first."""

    def order(self, levels: Sequence[str]) -> list[str]: ...

    def charge(self, level: str) -> None: ...

    def refund(self, level: str) -> None: ...

    def burst(self, level: str, levels: Sequence[str]) -> int:
        """How many more picks of `level` may follow at once.

        Asked right after a pick, when every level ordered before it was seen empty.
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
    """Strict, except that a level owed a pick of its floor goes first; the best gives way at three.

    Every pick earns each level its floor, and costs the picked level one as far as it had earned
    it: what a level takes while nobody better wants it is no debt. A level ordered before the
    picked one was empty and loses what it was owed: an idle level banks no credit. What is left
    is the one case floors are for, a level with work that better ones keep passing over; it gets
    exactly its floor, in turns that a burst of the best level may delay. The balance never exceeds
    4 picks.

    Args:
        shares: floor per level as a share of picks, for example `{"low": 0.1}`.
    """

    CLAMP = 4.0
    # The best level lets the others' floors wait for so long: its requests come in bursts and are
    # soon gone, and then the floors are paid. Beyond it they go first, so that they hold.
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
        """Undo a charge: give back what was taken, which may have been less than a pick."""
        paid = self._paid.get(level)
        self._owed_by(level, paid.pop() if paid else 0.0)
        self._earn(-1.0)

    def burst(self, level: str, levels: Sequence[str]) -> int:
        """Until a level behind it is owed a pick; none when a better one stands behind it.

        Behind it in the order it was picked by: that is what was seen empty, and what was not.
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
    """Smooth weighted round robin: shares in proportion, spread evenly.

    A level without a share gets the least one. A level ordered before the picked one was empty:
    it takes no part in that round and keeps no credit. Source: the algorithm of nginx's upstream
    module.
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
        """Only a level that was last in the order it was picked by: the rest was seen empty."""
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
