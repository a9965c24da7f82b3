"""May this worker take another ticket, and of which level? Only while a slot it could use is free.

The thread of Celery's hub asks before each BRPOP; the engine's loop answers with what it sees of
the endpoints' slots. When room appears after the hub was refused, the engine fetches tickets itself
(`scheduling/worker/puller.py`) or wakes the hub, which sleeps in `poll` otherwise: a worker whose
hub is not woken serves 6 requests a second instead of 300.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet

from scheduling.levels import LEVELS
from scheduling.policies.levels import LevelPolicy
from scheduling.tickets.level_policy import configured_policy

# Tickets of one level that are fetched together.
MOST_AT_ONCE = 16


class TicketGate:
    """Counts of one process, shared by two threads.

    Args:
        policy: the share between levels; the configured one if not given.
    """

    def __init__(self, policy: LevelPolicy | None = None) -> None:
        self._lock = threading.Lock()
        self._policy = policy
        self._wake: Callable[[], None] = lambda: None
        self._pull: Callable[[], bool] = lambda: False
        self._consumed: tuple[str, ...] = ()
        self._room = 0
        self._in_hand = 0
        self._freed = 0
        self._closed: set[str] = set()
        self._paused: frozenset[str] = frozenset()
        self._capped: frozenset[str] = frozenset()
        self._active = False
        self._refused = False

    @property
    def policy(self) -> LevelPolicy:
        """The process's share between levels; made late, because it reads the configuration."""
        if self._policy is None:
            self._policy = configured_policy()
        return self._policy

    def activate(self) -> None:
        """From now on levels are gated: an engine runs in this process."""
        self._active = True

    def on_open(self, wake: Callable[[], None]) -> None:
        """Call `wake` when room appears that was refused; it is thread-safe and does not block."""
        self._wake = wake

    def on_room(self, pull: Callable[[], bool]) -> None:
        """Before that ask `pull`, on the engine's loop; True when it fetches tickets itself."""
        self._pull = pull

    def wake(self) -> None:
        """Have the hub ask again."""
        self._wake()

    def consume(self, levels: Sequence[str]) -> None:
        """Celery consumes these levels from now on, and no others."""
        self._consumed = tuple(levels)

    def admitted(self, levels: Sequence[str]) -> list[str]:
        """The levels that may be consumed now."""
        with self._lock:
            if not self._active or self._room <= self._in_hand:
                self._refused = True
                return []
            admitted = self._open(levels)
            self._refused = len(admitted) < len(levels)
            return admitted

    def open_levels(self) -> list[str]:
        """The consumed levels of which a ticket may be taken, room or not."""
        with self._lock:
            return self._open(self._consumed)

    def _open(self, levels: Sequence[str]) -> list[str]:
        out = self._closed | self._paused | self._capped
        return [level for level in levels if level not in out]

    def _opened(self) -> None:
        if not self._pull():
            self._wake()

    @property
    def has_closed(self) -> bool:
        """Whether some level is closed because the models that wait there have no room."""
        return bool(self._closed)

    @property
    def spare(self) -> int:
        """How many more tickets could be taken now."""
        with self._lock:
            return max(0, self._room - self._in_hand)

    @property
    def is_short(self) -> bool:
        """Whether something keeps tickets out: no room, a level closed or at its cap."""
        with self._lock:
            return self._room <= self._in_hand or bool(self._closed) or bool(self._capped)

    def burst(self, level: str) -> int:
        """How many more tickets of a level may be taken now without asking for the order again."""
        return min(self.spare, MOST_AT_ONCE, self.policy.burst(level, LEVELS))

    def take(self, tickets: int = 1) -> None:
        """So many tickets are in hand from now on."""
        with self._lock:
            self._in_hand += tickets

    def taken(self, level: str, tickets: int = 1) -> int:
        """Tickets of a level were fetched: they are in hand, and the level is charged for them."""
        self.take(tickets)
        for _ in range(tickets):
            self.policy.charge(level)
        return tickets

    def mark(self) -> int:
        """A point in time for `update`: how many slots had been freed so far."""
        with self._lock:
            return self._freed

    def update(self, *, tickets: int, room: int, since: int) -> None:
        """`tickets` have been turned into running jobs or dropped; `room` slots were seen free.

        Slots freed since `mark()` gave `since` are not in that count and are added.
        """
        with self._lock:
            self._in_hand = max(0, self._in_hand - tickets)
            self._room = max(0, room) + self._freed - since
            opened = self._room > self._in_hand and self._refused
        if opened:
            self._opened()

    def freed(self, slots: int = 1) -> None:
        """Slots of this process are free again."""
        with self._lock:
            self._room += slots
            self._freed += slots
            self._closed.clear()
            refused = self._refused
        if refused:
            self._opened()

    def close(self, level: str) -> None:
        """Take no ticket of a level whose waiting models have no room, until a slot frees."""
        with self._lock:
            self._closed.add(level)

    def reopen(self) -> None:
        """Take tickets of closed levels again."""
        with self._lock:
            self._closed.clear()
            refused = self._refused
        if refused:
            self._opened()

    def pause(self, levels: frozenset[str]) -> None:
        """Take no tickets of just these levels until told otherwise: an operator paused them."""
        with self._lock:
            opened = bool(self._paused - levels) and self._refused
            self._paused = levels
        if opened:
            self._opened()

    def is_paused(self, level: str) -> bool:
        return level in self._paused

    @property
    def capped(self) -> frozenset[str]:
        """The levels that hold as many slots as they may."""
        return self._capped

    def cap(self, levels: AbstractSet[str]) -> None:
        """Take no tickets of just these levels: they hold as many slots as they may."""
        with self._lock:
            opened = bool(self._capped - levels) and self._refused
            self._capped = frozenset(levels)
        if opened:
            self._opened()

    def uncap(self, level: str) -> None:
        if level in self._capped:
            self.cap(self._capped - {level})


# Celery makes the transport and the order of queues itself, without arguments: this is theirs.
gate = TicketGate()
