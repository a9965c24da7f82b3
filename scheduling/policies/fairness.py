"""Which job of a level goes next? Start-time fair queueing over flows, by weighted tokens.

The algorithm is derived once, here. Production runs the statements in `scheduling/sql/`; a test
drives both through random histories and compares every tag.

The question
------------
The flows of a level (tenants, or tenants' users) share its slots. Jobs differ in size by three
orders of magnitude. Their true size is known only at the end, and a running job is not preempted.
No flow may wait because another flow floods, and no flow may save up credit by being idle.

The algorithm
-------------
Each level has a virtual clock v. Each flow f has a weight w and, at each level, a last finish F.
All three are measured in cost: input tokens x 1 + output tokens x 2 (`weighted_tokens`).

- Submit of a job of cost c:   S = max(v, F), its fair tag;   F := S + c / w.
- Submit of a group:           the same, job by job. Within a flow the n-th job of a group starts
                               at max(v, F) + (c_1 + .. + c_(n-1)) / w, a running sum (`place`).
- Claim:                       the lowest tag among models that have room;   v := max(v, S).
- Finish, actual cost a:       F := max(0, F + (a - c) / w), the settlement (`settle`). A job that
                               ends without having run costs a = 0.
- Retry, lost lease, give back: the job keeps its tag, so it goes before all jobs that came later.
- Another level, or a fresh set of attempts: a submit there. The charge that the job did not use at
                               its old place is settled with a = 0.
- Held for a pause:            on resuming, all jobs of the flow move behind the clock by the same
                               step (`step_behind`).
- Backlog, due later:          charged when they are queued, not when they are accepted.

Tags are floats. v grows by the tokens served: a thousand busy slots serve 2^53 tokens in three
thousand years, so differences of one token stay exact.

Invariants
----------
I1  v never falls: it is a running maximum.
I2  No tag is below the clock of the moment at which it was given: S = max(v, F) >= v.
I3  Two jobs in a row of one flow lie at least c / w apart, where c is the cost of the earlier job,
    unless a settlement came between: S' >= F = S + c / w.

No credit for idle flows. A flow whose F the clock has passed gets S = v, whether that was a second
or a year ago. Its first job ties with the next claim. The share that it did not use is gone.

No starvation. Let a job of flow f wait with tag S while the clock is at v. Another flow g can have
claimed before it only jobs with tags in [v, S]. By I3 these together cost at most
w_g (S - v) + c_g, where c_g is g's largest job. Summed over the flows, a finite amount of work goes
first, whatever arrives later. For a flow that was idle S = v, and at most one job of each other
flow goes first, besides the jobs that run.

Bounded unfairness. Let f and g both have jobs queued throughout an interval in which the clock goes
from v1 to v2, and let W be the cost of the jobs of a flow that were claimed in it. Then

    | W_f / w_f - W_g / w_g |  <=  c_f / w_f + c_g / w_g.

Proof. Jobs claimed in the interval have tags in [v1, v2]. By I3 all but the last of f's fit between
them: W_f / w_f <= v2 - v1 + c_f / w_f. Because f stays backlogged, each of its jobs arrived before
its predecessor was claimed, so S' = F exactly: its first tag in the interval is at most
v1 + c_f / w_f and the tag that still waits at the end is at least v2, so that
W_f / w_f >= v2 - v1 - c_f / w_f. The same holds for g; subtract. The number of slots does not
occur: the bound is on claims, and running jobs add at most one job a slot. It is Theorem 1 of the
first source.

Estimates. The bound counts estimated cost c. A job's error (a - c) / w reaches F when the job
finishes, and so the tags of the jobs that the flow submits after that. D is the sum of these
settlements. If jobs that are already queued kept their tags, a flow could be ahead in actual cost
by the errors of all its queued jobs: (q + r) e / w, with q queued, r running and e the largest
error. Learned estimates (`policies/estimates.py`) take away the common part of the errors, so that
the rest grows only as the square root of q. But a flow whose answers suddenly turn long can make q
as large as it likes. So each job remembers D as it was when the job was tagged. The sweep moves the
jobs next in line by the change of D since then, once that exceeds `SETTLED_WORKS` times the job's
own work (`corrected`). q shrinks to the jobs that are claimed between two sweeps. Decision record
0012 has the measurements, and why not every row is moved at every finish.

After a settlement downwards F, or a corrected tag, may lie below tags that the flow has queued, or
below v. The flow then gets back the excess of its charge, and no more: D is a sum of actual minus
estimated costs, so that I2 holds for the actual charge.

Sources
-------
Goyal, Vin, Cheng: "Start-time Fair Queuing: A Scheduling Algorithm for Integrated Services Packet
Switching Networks", SIGCOMM 1996: the tags, the clock and the theorem.
Sheng et al.: "Fairness in Serving Large Language Models", OSDI 2024: cost in weighted tokens and
charging of real output (the Virtual Token Counter). Its counter of a flow is our F; its lift of a
flow that returns is our max(v, F). Because tags are given at submit, the order is a column with an
index: a claim reads one row, where the counter would read every waiting flow.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

INPUT_WEIGHT, OUTPUT_WEIGHT = 1.0, 2.0
# A flow of weight zero would never run again after its first job.
LEAST_WEIGHT = 0.001
# A queued job's tag is corrected when its flow's settlements since then exceed its work so many
# times. That is rare by chance, and soon where a flow's answers have changed (docs/decisions/0012).
SETTLED_WORKS = 8.0


@dataclass(frozen=True, slots=True)
class Share:
    """A job as fairness sees it.

    Attributes:
        cost: estimated, in weighted tokens.
        weight: of its flow; a flow of weight 2 is due twice the work of one of weight 1.
    """

    flow: Hashable
    cost: float
    weight: float = 1.0

    @property
    def work(self) -> float:
        """How far the job moves its flow: cost / weight."""
        return self.cost / max(self.weight, LEAST_WEIGHT)


@dataclass(frozen=True, slots=True)
class Placed:
    """Tags of a flow's new jobs, in order, and the flow's last finish after them."""

    tags: tuple[float, ...]
    last_finish: float


def weighted_tokens(input_tokens: float, output_tokens: float) -> float:
    """The cost of a request."""
    return INPUT_WEIGHT * input_tokens + OUTPUT_WEIGHT * output_tokens


def output_tokens_of(cost: float, input_tokens: float) -> float:
    """The output tokens of a request of this cost."""
    return max(0.0, (cost - INPUT_WEIGHT * input_tokens) / OUTPUT_WEIGHT)


def place(works: Sequence[float], *, clock: float, last_finish: float) -> Placed:
    """Tag new jobs of one flow, in one pass.

    Args:
        works: cost / weight of each.
    """
    *tags, end = accumulate(works, initial=max(clock, last_finish))
    return Placed(tuple(tags), end)


def settle(last_finish: float, *, estimated: float, actual: float, weight: float = 1.0) -> float:
    """The flow's last finish once a job's true cost is known; 0 for one that did not run."""
    return max(0.0, last_finish + (actual - estimated) / max(weight, LEAST_WEIGHT))


def advance(clock: float, claimed_tag: float) -> float:
    """The level's clock after a claim."""
    return max(clock, claimed_tag)


def is_off(settled_since: float, work: float) -> bool:
    """Whether the settlements since a queued job was tagged are large enough to correct its tag."""
    return abs(settled_since) > SETTLED_WORKS * work


def corrected(tag: float, settled_since: float) -> float:
    """The tag of a queued job after the settlements since it was given."""
    return max(0.0, tag + settled_since)


def step_behind(clock: float, lowest_tag: float) -> float:
    """How far the jobs of a flow move that were held while the clock went on."""
    return max(0.0, clock - lowest_tag)


@dataclass(slots=True)
class Level:
    """The account of one level: its clock, its flows' last finishes and settlements."""

    clock: float = 0.0
    finishes: dict[Hashable, float] = field(default_factory=dict)
    settled: dict[Hashable, float] = field(default_factory=dict)

    def submit(self, group: Sequence[Share]) -> list[float]:
        """The tags of a group of jobs of any flows, in order; one job is a group of one."""
        places: dict[Hashable, list[int]] = {}
        for index, share in enumerate(group):
            places.setdefault(share.flow, []).append(index)
        tags = [0.0] * len(group)
        for flow, indexes in places.items():
            works = [group[index].work for index in indexes]
            placed = place(works, clock=self.clock, last_finish=self.finishes.get(flow, 0.0))
            self.finishes[flow] = placed.last_finish
            for index, tag in zip(indexes, placed.tags, strict=True):
                tags[index] = tag
        return tags

    def claim(self, tag: float) -> None:
        """The job of this tag was claimed."""
        self.clock = advance(self.clock, tag)

    def finish(self, share: Share, actual: float) -> None:
        """A job ended at this actual cost."""
        flow, error = share.flow, (actual - share.cost) / max(share.weight, LEAST_WEIGHT)
        last = self.finishes.get(flow, 0.0)
        self.finishes[flow] = settle(last, estimated=share.cost, actual=actual, weight=share.weight)
        self.settled[flow] = self.settled.get(flow, 0.0) + error

    def withdraw(self, share: Share) -> None:
        """A waiting job ends without having run: its charge goes back."""
        self.finish(share, 0.0)

    def leave(self, share: Share) -> None:
        """A waiting job moves to another level. As `withdraw`, but queued jobs keep their tags."""
        last = self.finishes.get(share.flow, 0.0)
        self.finishes[share.flow] = settle(
            last, estimated=share.cost, actual=0.0, weight=share.weight
        )

    def correct(self, share: Share, tag: float, settled: float) -> tuple[float, float]:
        """A queued job's tag and settlements as they should be now.

        Args:
            settled: the flow's settlements when the job was tagged or last corrected.
        """
        now = self.settled.get(share.flow, 0.0)
        if not is_off(now - settled, share.work):
            return tag, settled
        return corrected(tag, now - settled), now

    def resume(self, flow: Hashable, tags: Sequence[float]) -> list[float]:
        """New tags of a flow's jobs that were held for a pause."""
        step = step_behind(self.clock, min(tags))
        self.finishes[flow] = self.finishes.get(flow, 0.0) + step
        return [tag + step for tag in tags]
