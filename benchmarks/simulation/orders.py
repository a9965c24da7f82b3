"""Orders within a level with which the product's fair tags (`fair_tags.py`) are compared."""

from __future__ import annotations

import random
from collections import deque
from typing import Protocol
from zlib import crc32

from benchmarks.simulation.jobs import Job
from scheduling.policies.fairness import INPUT_WEIGHT, OUTPUT_WEIGHT


class Order(Protocol):
    """Jobs of one level."""

    def __len__(self) -> int: ...

    def add(self, job: Job, now: float) -> None: ...

    def take(self, now: float) -> Job: ...

    def ended(self, job: Job, now: float) -> None: ...


class ByArrival:
    """First come, first served."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job, now: float) -> None:
        del now
        self._jobs.append(job)

    def take(self, now: float) -> Job:
        del now
        return self._jobs.popleft()

    def ended(self, job: Job, now: float) -> None:
        del job, now


class TokenCounters:
    """Per-tenant virtual token counters: the waiting tenant served least goes next.

    Tokens count as they are read and written, which only the engine that decodes can know; a
    tenant that returns is lifted to the least counter of those waiting. Source: Sheng et al.,
    "Fairness in Serving Large Language Models", OSDI 2024.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Job]] = {}
        self._counters: dict[str, float] = {}
        self._pace: dict[str, float] = {}
        self._counted_at: dict[str, float] = {}
        self._length = 0
        self._last_served = ""

    def __len__(self) -> int:
        return self._length

    def add(self, job: Job, now: float) -> None:
        if job.flow not in self._waiting:
            self._waiting[job.flow] = deque()
            others = [flow for flow in self._waiting if flow != job.flow] or [self._last_served]
            least = min(self._count(flow, now) for flow in others)
            self._counters[job.flow] = max(self._count(job.flow, now), least)
        self._waiting[job.flow].append(job)
        self._length += 1

    def take(self, now: float) -> Job:
        flow = min(self._waiting, key=lambda each: self._count(each, now))
        job = self._waiting[flow].popleft()
        if not self._waiting[flow]:
            del self._waiting[flow]
        self._length -= 1
        self._last_served = flow
        self._counters[flow] = self._count(flow, now) + INPUT_WEIGHT * job.arrival.input_tokens
        self._pace[flow] = self._pace.get(flow, 0.0) + _output_pace(job)
        return job

    def ended(self, job: Job, now: float) -> None:
        self._count(job.flow, now)
        self._pace[job.flow] -= _output_pace(job)

    def _count(self, flow: str, now: float) -> float:
        """The flow's counter now: what runs is written at an even pace."""
        since = now - self._counted_at.get(flow, now)
        count = self._counters.get(flow, 0.0) + self._pace.get(flow, 0.0) * since
        self._counters[flow], self._counted_at[flow] = count, now
        return count


def _output_pace(job: Job) -> float:
    return OUTPUT_WEIGHT * job.arrival.output_tokens / max(job.service_seconds, 1e-9)


class ShuffleSharding:
    """Lanes served in turn; a tenant joins the shortest of the few that are dealt to it.

    128 lanes and hands of 6 are what Kubernetes' API Priority and Fairness deals by default.
    """

    def __init__(self, lanes: int = 128, hand: int = 6) -> None:
        self._lanes: list[deque[Job]] = [deque() for _ in range(lanes)]
        self._hand = hand
        self._next = 0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, job: Job, now: float) -> None:
        del now
        dealt = random.Random(crc32(job.flow.encode())).sample(self._lanes, self._hand)
        min(dealt, key=len).append(job)
        self._length += 1

    def take(self, now: float) -> Job:
        del now
        while not (lane := self._lanes[self._next]):
            self._next = (self._next + 1) % len(self._lanes)
        self._next = (self._next + 1) % len(self._lanes)
        self._length -= 1
        return lane.popleft()

    def ended(self, job: Job, now: float) -> None:
        del job, now
