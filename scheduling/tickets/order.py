"""The order in which kombu asks the queues for messages."""

from __future__ import annotations

from collections.abc import Iterable

from scheduling.levels import LEVELS
from scheduling.tickets.gate import TicketGate
from scheduling.tickets.gate import gate as process_gate


class LevelOrder:
    """kombu's `queue_order_strategy`: BRPOP serves the first key that has a message.

    Args:
        it: names of queues, as kombu passes them.
        gate: says which levels may be asked now; the process's if not given.
    """

    def __init__(self, it: Iterable[str] | None = None, gate: TicketGate | None = None) -> None:
        self._gate = gate or process_gate
        self._levels: list[str] = []
        self.update(it or ())

    def update(self, it: Iterable[str]) -> None:
        names, had = set(it), self._levels
        self._levels = [level for level in LEVELS if level in names]
        self._others = sorted(names.difference(LEVELS))
        # Other channels of the process have none of the levels and say nothing of them.
        if self._levels or had:
            self._gate.consume(self._levels)

    def consume(self, n: int) -> list[str]:
        """Queue names in the order to serve them; a level is absent while it must not be."""
        del n
        admitted = self._gate.admitted(self._levels) if self._levels else []
        return self._gate.policy.order(admitted) + self._others

    def rotate(self, last_used: str) -> str:
        """A message of this queue was delivered."""
        if last_used in LEVELS:
            self._gate.taken(last_used)
        return last_used
