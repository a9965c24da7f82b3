"""The clock: arrivals join, free slots take, jobs end. Nothing waits for real time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from benchmarks.simulation.jobs import Job
from benchmarks.traces import Arrival


class Queue(Protocol):
    """What waits, and which of it a free slot gets."""

    def __len__(self) -> int: ...

    def add(self, job: Job, now: float) -> None: ...

    def take(self, slot: int, now: float) -> Job | None:
        """The next job for this slot; None when there is none for it."""
        ...

    def ended(self, job: Job, now: float) -> None: ...


class Door(Protocol):
    """Who may join."""

    def admits(self, job: Job, now: float) -> bool: ...

    def joined(self, job: Job, now: float) -> None: ...

    def started(self, job: Job, now: float) -> None: ...

    def ended(self, job: Job, now: float) -> None: ...


class Observer(Protocol):
    """Who measures."""

    def passed(self, seconds: float, *, busy: int, waiting: int) -> None:
        """So much time went by, with so many slots busy and jobs waiting."""
        ...

    def submitted(self, job: Job, *, admitted: bool) -> None: ...

    def drains(self) -> None:
        """The last request has arrived."""
        ...

    def starts(self, job: Job) -> None: ...

    def ended(self, job: Job, now: float) -> None: ...


class Replay:
    """One run over some arrivals, in order of time. Memory grows with what waits, nothing else.

    Args:
        turnaround_seconds: a slot stands empty so long between two jobs: the finish, the news of
            it, the ticket and the claim.
    """

    def __init__(
        self,
        arrivals: Iterable[Arrival],
        *,
        slots: int,
        service_seconds: Callable[[Arrival], float],
        queue: Queue,
        door: Door,
        observer: Observer,
        turnaround_seconds: float = 0.0,
    ) -> None:
        self._arrivals = arrivals
        self._service_seconds = service_seconds
        self._queue, self._door, self._observer = queue, door, observer
        self._turnaround = turnaround_seconds
        self._free = deque(range(slots))
        self._busy = 0
        # (time, order, slot, job): a job that ends, or with None a slot that is ready again.
        self._events: list[tuple[float, int, int, Job | None]] = []
        self._order = 0
        self.now = 0.0

    def run(self) -> None:
        """To the end of the last job."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[float]:
        """The same, giving the time after each arrival, for whoever shows progress."""
        for number, arrival in enumerate(self._arrivals):
            self._until(arrival.ts)
            self._pass_to(arrival.ts)
            self._submit(Job(number, arrival, self._service_seconds(arrival)))
            yield self.now
        self._observer.drains()
        self._until(float("inf"))

    def _until(self, instant: float) -> None:
        """Everything that happens up to and at an instant."""
        while self._events and self._events[0][0] <= instant:
            at, _, slot, job = heapq.heappop(self._events)
            self._pass_to(at)
            if job is not None:
                self._end(job, slot)
            else:
                self._free.append(slot)
                self._fill()

    def _pass_to(self, at: float) -> None:
        self._observer.passed(at - self.now, busy=self._busy, waiting=len(self._queue))
        self.now = at

    def _submit(self, job: Job) -> None:
        admitted = self._door.admits(job, self.now)
        self._observer.submitted(job, admitted=admitted)
        if admitted:
            self._queue.add(job, self.now)
            self._door.joined(job, self.now)
            self._fill()

    def _fill(self) -> None:
        for _ in range(len(self._free)):
            if not len(self._queue):
                return
            slot = self._free.popleft()
            job = self._queue.take(slot, self.now)
            if job is None:
                self._free.append(slot)
            else:
                self._start(job, slot)

    def _start(self, job: Job, slot: int) -> None:
        job.started_at = self.now
        self._busy += 1
        self._at(self.now + job.service_seconds, slot, job)
        self._door.started(job, self.now)
        self._observer.starts(job)

    def _end(self, job: Job, slot: int) -> None:
        self._busy -= 1
        self._queue.ended(job, self.now)
        self._door.ended(job, self.now)
        self._observer.ended(job, self.now)
        self._at(self.now + self._turnaround, slot, None)

    def _at(self, at: float, slot: int, job: Job | None) -> None:
        self._order += 1
        heapq.heappush(self._events, (at, self._order, slot, job))
