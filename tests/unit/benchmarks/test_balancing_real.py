"""What real workers are put through, and how it is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.balancing.machine import Machine, work
from benchmarks.balancing.plans import (
    COMPRESSION,
    Window,
    compressed,
    failing,
    prompt,
    slowed,
)
from benchmarks.balancing.real_figures import Run, rows, tables
from benchmarks.balancing.replaying import Record
from benchmarks.balancing.scenarios import ORACLE, SLOTS, SPEEDS, arrivals
from benchmarks.balancing.simulation import Done
from benchmarks.traces import Arrival
from tests.fake_llm.behaviour import Behaviour, directives

PLAN = slowed(0.7, warm_up=1.0, healthy=2.0, degraded=2.0)
HEALTHY, DEGRADED = PLAN.windows
A_TIME = 0.5


def answered(plan_of: object = PLAN, **fields: object) -> Run:
    """A run whose requests all took the same time."""
    records = [Record(a, a.ts, a.ts + A_TIME) for a in PLAN.arrivals()]
    values = {"profile": "expected_work", "plan": plan_of, "records": records, "requests": 0}
    return Run(**{**values, "calls": [[] for _ in SPEEDS], **fields})  # type: ignore[arg-type]


def test_compressed_arrivals_are_as_heavy_a_load() -> None:
    most = sum(Machine(0, speed, SLOTS).most_tokens_per_second() for speed in SPEEDS)
    found = compressed(0.7)

    assert sum(map(work, found)) / found[-1].ts == pytest.approx(0.7 * most, rel=0.02)
    assert found[-1].ts == pytest.approx(arrivals(0.7, "azure")[-1].ts / COMPRESSION, rel=0.05)


def test_an_endpoint_is_slow_exactly_while_the_window_lasts() -> None:
    slow, well = PLAN.changes

    assert (slow.at, well.at) == (DEGRADED.begins, DEGRADED.ends) == (3.0, 5.0)
    assert slow.slowdown > well.slowdown == 1.0
    assert failing(0.7, seconds=2).changes[-1].failing == 0.0


def test_slower_is_the_same_load_with_longer_answers() -> None:
    slower = PLAN.slower(2.0)

    assert slower.seconds == 2 * PLAN.seconds
    assert len(slower.arrivals()) == pytest.approx(len(PLAN.arrivals()), rel=0.05)
    assert slower.changes[0].at == slower.windows[1].begins
    assert slower.is_good(Done(Arrival(0.0, 10, 10), 2.2, 1, 0))


def test_a_window_holds_what_arrives_in_it() -> None:
    first, last = Arrival(1.0, 1, 1), Arrival(3.0, 1, 1)

    assert HEALTHY.holds(first)
    assert not HEALTHY.holds(last)
    assert DEGRADED.holds(last)


def test_the_prompt_tells_the_endpoint_what_to_do() -> None:
    wanted = directives(prompt(7, Arrival(0.0, 150, 12))).apply(Behaviour(), 1)

    assert (wanted.tokens, wanted.prefill) == (12, 2.0)


def test_good_is_within_the_compressed_limit() -> None:
    arrival = Arrival(0.0, 10, 10)

    assert PLAN.is_good(Done(arrival, 1.6, 1, 0))
    assert not PLAN.is_good(Done(arrival, 1.7, 1, 0))


def test_slots_count_calls_while_the_window_lasts() -> None:
    calls = [[(0.0, 2.0), (2.0, 9.0)], *([] for _ in SPEEDS[1:])]

    assert answered(calls=calls).slots(HEALTHY, 0) == pytest.approx(1 / SLOTS)
    assert answered(calls=calls).slots(HEALTHY) == pytest.approx(1 / SLOTS / len(SPEEDS))


def test_an_error_is_never_a_fast_answer() -> None:
    records = [replace(record, error="503") for record in answered().records]

    run = answered(records=records)

    assert run.errors == len(records) > 0
    assert run.figures(HEALTHY).goodput == 0.0
    assert run.figures(HEALTHY).p50 == float("inf")


def test_goals_are_the_default_profiles() -> None:
    goals = {row.name: row for row in rows([answered()]) if row.goal}

    assert goals["errors seen by clients"].met
    assert goals["degraded, 70%: expected_work goodput"].goal == ">= 93"
    assert goals["healthy, 70%: expected_work p99 / oracle"].goal == "<= 1.15"
    assert not any("peak_ewma" in row.name for row in rows([answered()]) if row.goal)


def test_attempts_are_judged_where_an_endpoint_fails() -> None:
    plan = failing(0.7, seconds=5)
    records = answered().records

    found = rows([answered(plan, requests=2 * len(records))])

    (row,) = [row for row in found if row.name.endswith("attempts")]
    assert (row.value, row.met) == (2.0, False)


def test_the_oracle_is_beside_every_table() -> None:
    shown = tables([answered()])

    assert shown.count(ORACLE) == 2
    assert shown.count("expected_work, simulated") == 2


def test_an_empty_window_would_be_an_error_not_a_figure() -> None:
    with pytest.raises(IndexError):
        answered().figures(Window("never", 100.0, 101.0))
