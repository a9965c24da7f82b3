"""The product's order within a level, driven as production drives it.

`scheduling.policies.fairness` gives and corrects the tags, `scheduling.policies.estimates` learns
the lengths of answers. The sweep's correction of queued tags happens here at the first claim after
a second has gone by.
"""

from __future__ import annotations

from bisect import insort
from itertools import islice

from benchmarks.simulation.jobs import Job
from scheduling.policies import fairness
from scheduling.policies.estimates import Estimate, averaged, expected_output
from scheduling.policies.fairness import SETTLED_WORKS, Share, weighted_tokens

SWEEP_SECONDS = 1.0
SETTLED_HEADS = 500


class Lengths:
    """Learned lengths of answers by flow, at all levels together."""

    def __init__(self, default: float = 256.0) -> None:
        self._default = default
        self._of: dict[str, Estimate] = {}

    def cost(self, job: Job) -> float:
        """Expected, in weighted tokens."""
        own = self._of.get(job.flow)
        model = None if own else averaged(self._of.values())
        output = expected_output(own=own, model=model, default=self._default)
        return weighted_tokens(job.arrival.input_tokens, output)

    def learn(self, job: Job) -> None:
        known = self._of.get(job.flow, Estimate())
        self._of[job.flow] = known.learn([job.arrival.output_tokens])


class FairTags:
    """Jobs of one level by start-time fair queueing.

    Attributes:
        waiting: (tag, number, job) in the order in which they will be claimed.
    """

    def __init__(self, lengths: Lengths | None = None) -> None:
        self.level = fairness.Level()
        self.waiting: list[tuple[float, int, Job]] = []
        self._lengths = lengths or Lengths()
        self._swept_at = 0.0

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, job: Job, now: float) -> None:
        del now
        job.cost = self._lengths.cost(job)
        (job.tag,) = self.level.submit([Share(job.flow, job.cost)])
        job.settled = self.level.settled.get(job.flow, 0.0)
        insort(self.waiting, (job.tag, job.number, job))

    def take(self, now: float) -> Job:
        if now >= self._swept_at + SWEEP_SECONDS:
            self._swept_at = now
            self._correct()
        tag, _, job = self.waiting.pop(0)
        self.level.claim(tag)
        return job

    def ended(self, job: Job, now: float) -> None:
        del now
        actual = weighted_tokens(job.arrival.input_tokens, job.arrival.output_tokens)
        self.level.finish(Share(job.flow, job.cost), actual)
        self._lengths.learn(job)

    def _correct(self) -> None:
        settled = self.level.settled
        behind = [
            place
            for place, (_, _, job) in enumerate(islice(self.waiting, SETTLED_HEADS))
            if abs(settled.get(job.flow, 0.0) - job.settled) > SETTLED_WORKS * job.cost
        ]
        moved = [self.waiting.pop(place)[2] for place in reversed(behind)]
        for job in moved:
            share = Share(job.flow, job.cost)
            job.tag, job.settled = self.level.correct(share, job.tag, job.settled)
            insort(self.waiting, (job.tag, job.number, job))
