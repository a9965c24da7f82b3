"""What PostgreSQL does to fair tags is what the pure reference says, after any history.

Each example is one transaction that is rolled back. Costs and weights are such that every sum is
exact in floats: tags are compared for equality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduling.dispatch.endings import Finish, finishes
from scheduling.models import Priority, Status
from scheduling.policies.estimates import Estimate
from scheduling.policies.fairness import SETTLED_WORKS, Level, Share
from scheduling.specs import parameters
from scheduling.statements import (
    CANCEL,
    CLAIM,
    FINISH,
    GIVE_BACK,
    RELEASE_BACKLOG,
    REPRIORITISE,
    REQUEUE,
    SETTLE,
    SUBMIT,
    SWEEP_DUE,
)
from tests.hot_path import MODEL, spec, test_database_url

CLOCK = "select virtual_time from scheduling_levelclock where level = %(level)s"
TAGS = "select flow_id, last_finish, settled from scheduling_flowtag where level = %(level)s"
WEIGHTS = (0.5, 1.0, 4.0)
LEVELS = (1, 2)
EXAMPLES = settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


@dataclass
class Known:
    """A job as the reference knows it."""

    share: Share
    level: int
    tag: float
    settled: float
    state: str = "queued"
    token: UUID | None = None
    attempts: int = 0


@dataclass
class History:
    """PostgreSQL and the reference, side by side."""

    connection: psycopg.Connection[Any]
    flows: list[int]
    levels: dict[int, Level] = field(default_factory=lambda: {n: Level() for n in LEVELS})
    jobs: dict[UUID, Known] = field(default_factory=dict)
    learned: dict[int, Estimate] = field(default_factory=dict)

    def run(self, statement: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement.encode(), values).fetchall()

    def shares(self, group: list[tuple[int, int, int]]) -> list[tuple[Share, int]]:
        return [
            (Share(self.flows[f], float(cost), WEIGHTS[f]), LEVELS[level])
            for f, level, cost in group
        ]

    def submit(self, group: list[tuple[int, int, int]]) -> None:
        asked = self.shares(group)
        specs = [spec(int(str(s.flow)), cost=s.cost, level=level) for s, level in asked]
        self.run(SUBMIT, parameters(specs))
        for number in LEVELS:
            mine = [i for i, (_, level) in enumerate(asked) if level == number]
            tags = self.levels[number].submit([asked[i][0] for i in mine])
            for i, tag in zip(mine, tags, strict=True):
                self._know(specs[i].id, asked[i][0], number, tag)

    def accept(self, group: list[tuple[int, int, int]], reason: str) -> None:
        """Backlog, or due later: not charged yet."""
        for share, level in self.shares(group):
            later = self.run("select now() + interval '1 hour'")[0][0]
            one = spec(
                int(str(share.flow)),
                cost=share.cost,
                level=Priority(level),
                backlog=reason == "backlog",
                due_at=later if reason == "due" else None,
            )
            self.run(SUBMIT, parameters([one]))
            self.levels[level].submit([Share(share.flow, 0.0, share.weight)])
            self.jobs[one.id] = Known(share, level, 0.0, 0.0, reason)

    def release(self, reason: str) -> None:
        if reason == "due":
            self.connection.execute("update scheduling_job set due_at = now()")
            self.run(SWEEP_DUE)
        else:
            self.run(RELEASE_BACKLOG, {"least": 1000, "most": 1000})
        held = sorted(i for i, job in self.jobs.items() if job.state == reason)
        for number in LEVELS:
            mine = [i for i in held if self.jobs[i].level == number]
            tags = self.levels[number].submit([self.jobs[i].share for i in mine])
            for i, tag in zip(mine, tags, strict=True):
                self._know(i, self.jobs[i].share, number, tag)

    def claim(self, level: int, limit: int) -> None:
        number = LEVELS[level]
        rows = self.run(
            CLAIM,
            {
                "level": number,
                "limit": limit,
                "models": [MODEL],
                "slots": [limit],
                "apis": ["chat"],
                "worker": "w",
                "lease_seconds": 30,
            },
        )
        waiting = sorted((j.tag, i) for i, j in self.jobs.items() if self._waits(j, number))
        assert [row[0] for row in rows] == [i for _, i in waiting[:limit]]
        for row in rows:
            job = self.jobs[row[0]]
            job.state, job.token, job.attempts = "processing", row[2], row[3]
            self.levels[number].claim(job.tag)

    def finish(self, place: int, prompt: int, output: int, status: str) -> None:
        job_id = self._one("processing", place)
        if job_id is None:
            return
        job = self.jobs[job_id]
        done = status == "completed"
        actual = float(prompt + 2 * output)
        assert job.token is not None, "it was claimed"
        outcome = Finish(
            id=job_id,
            lease_token=job.token,
            status=Status(status),
            number=job.attempts,
            outcome="ok",
            prompt_tokens=prompt if done else None,
            completion_tokens=output if done else None,
            actual_cost=actual if done else None,
            result="{}",
        )
        self.run(FINISH, finishes([outcome]))
        job.state = status
        if done:
            flow = int(str(job.share.flow))
            self.levels[job.level].finish(job.share, actual)
            self.learned[flow] = self.learned.get(flow, Estimate()).learn([output])

    def give_back(self, place: int) -> None:
        job_id = self._one("processing", place)
        if job_id is not None:
            job = self.jobs[job_id]
            leases = {"id": [job_id], "lease_token": [job.token], "wrote": [False]}
            self.run(GIVE_BACK, leases)
            job.state, job.attempts = "queued", job.attempts - 1

    def cancel(self, place: int) -> None:
        job_id = self._one("queued", place)
        if job_id is not None:
            job = self.jobs[job_id]
            self.run(CANCEL, {"ids": [job_id], "why": "w"})
            job.state = "cancelled"
            if job.attempts == 0:
                self.levels[job.level].withdraw(job.share)

    def reprioritise(self, place: int, level: int) -> None:
        job_id, number = self._one("queued", place), LEVELS[level]
        if job_id is None:
            return
        job = self.jobs[job_id]
        self.run(REPRIORITISE, {"id": job_id, "level": number})
        if job.level != number:
            self.levels[job.level].leave(job.share)
            (tag,) = self.levels[number].submit([job.share])
            self._know(job_id, job.share, number, tag, job.attempts)

    def requeue(self, place: int) -> None:
        job_id = self._one("failed", place) or self._one("cancelled", place)
        if job_id is not None:
            job = self.jobs[job_id]
            self.run(REQUEUE, {"id": job_id, "max_attempts": 3})
            (tag,) = self.levels[job.level].submit([job.share])
            self._know(job_id, job.share, job.level, tag, job.attempts)

    def settle(self) -> None:
        self.run(SETTLE, {"heads": 1000, "works": SETTLED_WORKS})
        for job in self.jobs.values():
            if job.state == "queued":
                level = self.levels[job.level]
                job.tag, job.settled = level.correct(job.share, job.tag, job.settled)

    def check(self) -> None:
        """Every tag, clock, last finish and estimate is the reference's."""
        rows = self.run("select id, fair_tag, settled from scheduling_job where status = 'queued'")
        queued = {i: (j.tag, j.settled) for i, j in self.jobs.items() if j.state == "queued"}
        assert {row[0]: row[1:] for row in rows} == queued
        for number, level in self.levels.items():
            at = {"level": number}
            assert self.run(CLOCK, at) == [(level.clock,)]
            for flow, last_finish, settled in self.run(TAGS, at):
                assert last_finish == level.finishes[flow]
                assert settled == level.settled.get(flow, 0.0)
        found = self.run("select flow_id, mean, samples from scheduling_outputestimate")
        assert {row[0] for row in found} == set(self.learned)
        for flow, mean, samples in found:
            assert (mean, samples) == (pytest.approx(self.learned[flow].mean), samples)

    def _know(self, job_id: UUID, share: Share, level: int, tag: float, attempts: int = 0) -> None:
        settled = self.levels[level].settled.get(share.flow, 0.0)
        self.jobs[job_id] = Known(share, level, tag, settled, attempts=attempts)

    def _waits(self, job: Known, level: int) -> bool:
        return job.state == "queued" and job.level == level

    def _one(self, state: str, place: int) -> UUID | None:
        found = sorted(i for i, job in self.jobs.items() if job.state == state)
        return found[place % len(found)] if found else None


@contextmanager
def history() -> Iterator[History]:
    with psycopg.connect(test_database_url()) as connection:
        flows = []
        for place, weight in enumerate(WEIGHTS):
            row: Any = connection.execute(
                "insert into scheduling_flow (key, name, weight, created_at)"
                " values (%s, 'f', %s, now()) returning id",
                [f"fair {place}", weight],
            ).fetchone()
            flows.append(row[0])
        yield History(connection, flows)
        connection.rollback()


places = st.integers(0, 20)
levels = st.integers(0, len(LEVELS) - 1)
groups = st.lists(
    st.tuples(st.integers(0, len(WEIGHTS) - 1), levels, st.integers(1, 400)),
    min_size=1,
    max_size=5,
)
Step = Callable[[History], None]


def step(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(*arguments).map(lambda values: lambda world: getattr(world, name)(*values))


statuses = st.sampled_from(["completed", "completed", "failed"])
later = st.sampled_from(["backlog", "due"])
steps = st.lists(
    st.one_of(
        step("submit", groups),
        step("submit", groups),
        step("accept", groups, later),
        step("release", later),
        step("claim", levels, st.integers(1, 4)),
        step("claim", levels, st.integers(1, 4)),
        step("finish", places, st.integers(0, 500), st.integers(0, 3000), statuses),
        step("give_back", places),
        step("cancel", places),
        step("reprioritise", places, levels),
        step("requeue", places),
        step("settle"),
    ),
    max_size=25,
)


@pytest.mark.usefixtures("database")
@EXAMPLES
@given(steps)
def test_postgresql_and_the_reference_agree_after_every_step(taken: list[Step]) -> None:
    with history() as world:
        for each in taken:
            each(world)
            world.check()


@pytest.mark.usefixtures("database")
@EXAMPLES
@given(st.lists(groups, min_size=1, max_size=4), st.lists(st.integers(1, 4), max_size=12))
def test_duplicate_and_lost_tickets_change_no_order(
    submitted: list[list[tuple[int, int, int]]], tickets: list[int]
) -> None:
    """However many tickets are served at a time, and even if too many: `claim` checks the order."""
    with history() as world:
        for group in submitted:
            world.submit([(flow, 0, cost) for flow, _, cost in group])
        expected = sorted((job.tag, i) for i, job in world.jobs.items())

        for served in [*tickets, len(expected), 1]:
            world.claim(0, served)

        started = [i for i, job in world.jobs.items() if job.state == "processing"]
        assert len(started) == len(expected), "a top-up serves what lost tickets left behind"
        clock = world.levels[LEVELS[0]].clock
        assert clock == expected[-1][0]


@pytest.mark.usefixtures("database")
def test_what_is_queued_moves_by_what_its_flow_was_settled_since_it_was_tagged() -> None:
    with history() as world:
        world.submit([(1, 0, 10)])
        world.claim(0, 1)
        world.finish(0, 0, 1000, "completed")
        world.submit([(1, 0, 10), (1, 0, 400), (0, 0, 10)])
        world.claim(0, 1)
        world.finish(0, 0, 3, "completed")
        world.submit([(1, 0, 10), (1, 0, 10)])
        world.claim(0, 1)
        world.finish(0, 0, 500, "completed")
        before = {i: job.tag for i, job in world.jobs.items()}

        world.settle()

        world.check()
        moved = [job.tag - before[i] for i, job in world.jobs.items() if job.tag != before[i]]
        assert moved
        assert all(step < 1000 for step in moved), "the first settlement is in their tags already"
