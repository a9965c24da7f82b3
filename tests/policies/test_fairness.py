"""Promises of the fair order, on the pure reference: what flows get, whatever they do.

`tests/integration/test_fair_tags.py` shows that PostgreSQL gives the same tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.policies import fairness
from scheduling.policies.fairness import SETTLED_WORKS, Level, Share

WEIGHTS = (0.5, 1.0, 3.0)
costs = st.floats(1.0, 5000.0)
flows = st.integers(0, len(WEIGHTS) - 1)
shares = st.builds(lambda flow, cost: Share(flow, cost, WEIGHTS[flow]), flows, costs)


@dataclass
class Queue:
    """A level with its waiting jobs; the lowest tag is claimed first."""

    level: Level = field(default_factory=Level)
    waiting: list[tuple[float, int, Share]] = field(default_factory=list)
    count: int = 0

    def submit(self, *group: Share) -> list[float]:
        tags = self.level.submit(group)
        for share, tag in zip(group, tags, strict=True):
            self.count += 1
            self.waiting.append((tag, self.count, share))
        return tags

    def claim(self) -> Share:
        first = min(self.waiting, key=lambda job: job[:2])
        self.waiting.remove(first)
        self.level.claim(first[0])
        return first[2]


def largest(group: Sequence[Share], flow: int) -> float:
    return max((share.work for share in group if share.flow == flow), default=0.0)


@given(st.lists(shares, min_size=1, max_size=20))
def test_a_group_gets_the_tags_it_would_get_one_by_one(group: list[Share]) -> None:
    together, singly = Level(), Level()

    tags = together.submit(group)

    assert tags == [singly.submit([share])[0] for share in group]
    assert together.finishes == singly.finishes


@given(st.lists(st.one_of(st.none(), shares), max_size=60))
def test_the_clock_never_falls_and_no_tag_is_below_it(events: list[Share | None]) -> None:
    queue = Queue()
    for share in events:
        before = queue.level.clock
        if share is not None:
            assert queue.submit(share)[0] >= before
        elif queue.waiting:
            queue.claim()
        assert queue.level.clock >= before


@given(
    st.lists(costs, min_size=5, max_size=40),
    st.lists(costs, min_size=5, max_size=40),
    flows,
    st.data(),
)
def test_two_backlogged_flows_differ_by_one_job_each(
    mine: list[float], theirs: list[float], kind: int, data: st.DataObject
) -> None:
    """|W_f / w_f - W_g / w_g| <= c_f / w_f + c_g / w_g, over any interval of the backlog."""
    f = [Share("f", cost, WEIGHTS[kind]) for cost in mine]
    g = [Share("g", cost) for cost in theirs]
    queue = Queue()
    queue.submit(*f, *g)
    bound = max(s.work for s in f) + max(s.work for s in g)
    gaps = [0.0]
    while {share.flow for _, _, share in queue.waiting} == {"f", "g"}:
        share = queue.claim()
        gaps.append(gaps[-1] + (share.work if share.flow == "f" else -share.work))
    # The last claim ended a backlog, or may have.
    gaps.pop()
    if gaps:
        begin = data.draw(st.integers(0, len(gaps) - 1))
        assert all(abs(gap - gaps[begin]) <= bound * (1 + 1e-9) for gap in gaps[begin:])


@given(st.lists(shares, max_size=40), st.lists(shares, max_size=40), costs)
def test_no_flood_starves_a_flow(before: list[Share], flood: list[Share], own: float) -> None:
    """Of each flow no more goes first than its share up to the job's tag, and one job."""
    queue = Queue()
    queue.submit(*before)
    for _ in range(len(before) // 2):
        queue.claim()
    clock = queue.level.clock
    (tag,) = queue.submit(Share("small", own))
    everything = [share for _, _, share in queue.waiting] + flood
    passed: dict[object, float] = {}
    while True:
        # The flood goes on arriving while the job waits.
        if flood:
            queue.submit(flood.pop())
        share = queue.claim()
        if share.flow == "small":
            break
        passed[share.flow] = passed.get(share.flow, 0.0) + share.work

    for flow, work in passed.items():
        assert isinstance(flow, int)
        assert work <= (tag - clock + largest(everything, flow)) * (1 + 1e-9)


@given(st.lists(shares, min_size=1, max_size=30), st.integers(0, 30), costs)
def test_an_idle_flow_has_no_credit(busy: list[Share], claims: int, own: float) -> None:
    """A flow that never asked and one that stopped long ago stand where the clock stands."""
    queue = Queue()
    queue.submit(Share("was here", own))
    queue.submit(*busy)
    for _ in range(min(claims, len(busy)) + 1):
        queue.claim()
    was_here = queue.level.finishes["was here"]

    new, old = queue.level.submit([Share("new", own), Share("was here", own)])

    assert new == queue.level.clock
    assert old == max(queue.level.clock, was_here)
    again = queue.level.submit([Share("new", own)])
    assert again == [new + own], "and it pays for what it asks from the first job on"


@given(st.lists(st.tuples(shares, st.floats(0.0, 10_000.0)), min_size=1, max_size=20))
def test_a_flow_is_charged_its_actual_cost_in_the_end(
    jobs: list[tuple[Share, float]],
) -> None:
    level = Level()
    level.submit([share for share, _ in jobs])
    highest = dict.fromkeys((share.flow for share, _ in jobs), 0.0)
    for share, actual in jobs:
        highest[share.flow] += actual / share.weight

    # What was dearer than thought first: a last finish is not below zero on the way.
    for share, actual in sorted(jobs, key=lambda job: job[0].cost - job[1]):
        level.finish(share, actual)

    assert level.finishes == pytest.approx(highest, abs=1e-6)


@given(shares)
def test_a_job_that_did_not_run_costs_nothing(share: Share) -> None:
    level = Level()
    level.submit([share])

    level.withdraw(share)

    assert level.finishes[share.flow] == pytest.approx(0.0)


def test_queued_jobs_are_corrected_once_their_flow_is_off_by_several_of_them() -> None:
    level, short = Level(), Share("f", 10.0)
    first, *_, last = level.submit([short] * 30)
    level.finish(short, 10.0 + SETTLED_WORKS * short.work)

    assert level.correct(short, last, 0.0) == (last, 0.0), "not yet"
    level.finish(short, 11.0)
    moved = SETTLED_WORKS * short.work + 1.0
    assert level.correct(short, last, 0.0) == (last + moved, moved)
    assert level.correct(short, last + moved, moved) == (last + moved, moved), "once"
    assert first == 0.0


@given(st.lists(st.floats(0.0, 1e6), min_size=1, max_size=10), st.floats(0.0, 1e6))
def test_after_a_pause_a_flow_keeps_its_order_and_gains_nothing(
    tags: list[float], clock: float
) -> None:
    level = Level(clock=clock, finishes={"f": max(tags)})

    moved = level.resume("f", tags)

    assert min(moved) == pytest.approx(max(clock, min(tags)))
    assert [b - a for a, b in zip(tags, moved, strict=True)] == pytest.approx(
        [moved[0] - tags[0]] * len(tags), abs=1e-6
    )


def test_a_weight_of_nothing_is_a_small_weight() -> None:
    assert Share("f", 1.0, 0.0).work == 1.0 / fairness.LEAST_WEIGHT


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_a_cost_tells_the_output_that_it_was_estimated_by(inputs: int, outputs: int) -> None:
    cost = fairness.weighted_tokens(inputs, outputs)

    assert fairness.output_tokens_of(cost, inputs) == outputs


def test_a_cost_below_its_input_has_no_output() -> None:
    assert fairness.output_tokens_of(5.0, 10) == 0.0
