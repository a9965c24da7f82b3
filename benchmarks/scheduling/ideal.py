"""The same arrivals without any queue's own cost: what perfect policies would give.

Time is counted, not waited for. Both know each service time, as no real queue does.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import Protocol

from benchmarks.scheduling.plan import Request
from scheduling.levels import LEVELS


class Order(Protocol):
    """What waits; `take` gives the next, None when nothing does."""

    def add(self, request: Request) -> None: ...

    def take(self) -> Request | None: ...


class Strict:
    """The highest level first, first come first served within it; nothing is interrupted."""

    def __init__(self) -> None:
        self._levels: dict[str, deque[Request]] = {level: deque() for level in LEVELS}

    def add(self, request: Request) -> None:
        self._levels[request.level].append(request)

    def take(self) -> Request | None:
        return next((queue.popleft() for queue in self._levels.values() if queue), None)


class Counters:
    """The flow that has been served least so far; one that was idle starts level with the rest.

    Source: Virtual Token Counter, Sheng et al., OSDI 2024, with service time as the cost.
    """

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[Request]] = defaultdict(deque)
        self._served: Counter[str] = Counter()

    def add(self, request: Request) -> None:
        if not self._waiting[request.flow]:
            least = min((self._served[f] for f, q in self._waiting.items() if q), default=0)
            self._served[request.flow] = max(self._served[request.flow], least)
        self._waiting[request.flow].append(request)

    def take(self) -> Request | None:
        flows = [flow for flow, queue in self._waiting.items() if queue]
        if not flows:
            return None
        flow = min(flows, key=lambda each: self._served[each])
        request = self._waiting[flow].popleft()
        self._served[flow] += request.service_seconds  # type: ignore[assignment]
        return request


def waits(requests: Sequence[Request], order: Order, *, slots: int) -> dict[int, float]:
    """Each request's wait, by number."""
    found: dict[int, float] = {}
    ends: list[float] = []
    free = slots

    def start(now: float) -> None:
        nonlocal free
        while free and (request := order.take()):
            found[request.number] = now - request.at
            heapq.heappush(ends, now + request.service_seconds)
            free -= 1

    for request in requests:
        while ends and ends[0] <= request.at:
            free += 1
            start(heapq.heappop(ends))
        order.add(request)
        start(request.at)
    while ends:
        free += 1
        start(heapq.heappop(ends))
    return found
