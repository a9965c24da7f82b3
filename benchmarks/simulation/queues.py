"""The order between levels: the product's policies, and the queues they are compared with."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from benchmarks.simulation.jobs import Job
from benchmarks.simulation.orders import ByArrival, Order
from scheduling.levels import LEVELS
from scheduling.policies.levels import LevelPolicy


class Levels:
    """A policy between levels and an order within each.

    Args:
        policies: one a worker process, as in production: each keeps its own account, and whichever
            worker is first takes the ticket.
    """

    def __init__(
        self,
        policies: Sequence[LevelPolicy],
        order: Callable[[], Order] = ByArrival,
        *,
        seed: int = 1,
    ) -> None:
        self.orders: dict[str, Order] = {level: order() for level in LEVELS}
        self._policies = policies
        self._rng = random.Random(seed)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, job: Job, now: float) -> None:
        self.orders[job.level].add(job, now)
        self._length += 1

    def take(self, slot: int, now: float) -> Job | None:
        del slot
        policy = self._rng.choice(self._policies)
        for level in policy.order(LEVELS):
            if len(self.orders[level]):
                policy.charge(level)
                self._length -= 1
                return self.orders[level].take(now)
        return None

    def ended(self, job: Job, now: float) -> None:
        self.orders[job.level].ended(job, now)


class One:
    """One order for all levels alike."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __len__(self) -> int:
        return len(self._order)

    def add(self, job: Job, now: float) -> None:
        self._order.add(job, now)

    def take(self, slot: int, now: float) -> Job | None:
        del slot
        return self._order.take(now) if len(self._order) else None

    def ended(self, job: Job, now: float) -> None:
        self._order.ended(job, now)


class EarliestDeadline:
    """By the time of submission plus what the level may wait: aging, as a single main rule."""

    def __init__(self, patience: Mapping[str, float]) -> None:
        self._patience = patience
        self._waiting: list[tuple[float, int, Job]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, job: Job, now: float) -> None:
        due = now + self._patience[job.level]
        heapq.heappush(self._waiting, (due, job.number, job))

    def take(self, slot: int, now: float) -> Job | None:
        del slot, now
        return heapq.heappop(self._waiting)[2] if self._waiting else None

    def ended(self, job: Job, now: float) -> None:
        del job, now


class StockCelery:
    """Celery's defaults: a queue a level, read in turn, four messages a slot fetched ahead.

    What a worker has fetched it runs first come, first served, and another worker cannot have it:
    `worker_prefetch_multiplier=4`, early acknowledgement, kombu's `round_robin` queue order.
    """

    def __init__(self, slots: int, *, workers: int = 2, multiplier: int = 4) -> None:
        self._broker: dict[str, deque[Job]] = {level: deque() for level in LEVELS}
        self._turns = deque(LEVELS)
        self._fetched: list[deque[Job]] = [deque() for _ in range(workers)]
        self._readers = deque(range(workers))
        self._limit = max(1, slots // workers) * multiplier
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, job: Job, now: float) -> None:
        del now
        self._broker[job.level].append(job)
        self._length += 1
        self._fetch()

    def take(self, slot: int, now: float) -> Job | None:
        del now
        fetched = self._fetched[slot % len(self._fetched)]
        if not fetched:
            return None
        self._length -= 1
        job = fetched.popleft()
        self._fetch()
        return job

    def ended(self, job: Job, now: float) -> None:
        del job, now

    def _fetch(self) -> None:
        """Workers with room read the broker, the one that has waited longest first."""
        for _ in range(len(self._readers)):
            while len(self._fetched[self._readers[0]]) < self._limit:
                level = next((each for each in self._turns if self._broker[each]), None)
                if level is None:
                    return
                self._fetched[self._readers[0]].append(self._broker[level].popleft())
                self._turns.remove(level)
                self._turns.append(level)
                self._readers.rotate(-1)
            self._readers.rotate(-1)
