"""Waits, shares, slots in use and promises, from records made by hand."""

import pytest

from benchmarks.scheduling import measures, plan
from benchmarks.scheduling.records import Promise, Record, note_calls, prompt, tag
from tests.fake_llm.behaviour import directives
from tests.unit.benchmarks.scheduling.making import record, request, run


def test_what_was_given_up_waited_at_least_until_then() -> None:
    seen = run([record(0, 1.0, 3.0, 4.0), record(1, 2.0)], stopped=10.0)

    assert seen.waits() == [2.0, 8.0]


def test_a_refusal_has_no_wait() -> None:
    refused = Record(request(0), sent=0.0, refused=True)

    assert run([refused]).waits() == []


def test_the_endpoints_journal_tells_when_a_call_began_and_how_often() -> None:
    records = [Record(request(4), sent=0.0), Record(request(5), sent=0.0)]

    note_calls(records, [("r4", 101.0, 102.0), ("r4", 103.0, 104.0), ("other", 1, 2)], 100.0)

    assert (records[0].began, records[0].calls) == (1.0, 2)
    assert records[1].calls == 0


def test_a_prompt_is_as_long_as_the_recorded_one_and_tells_the_endpoint_what_to_do() -> None:
    asked = request(7, input_tokens=300, service_seconds=0.25)
    text = prompt(asked)

    assert text.split()[0] == tag(asked)
    assert len(text) == pytest.approx(1200, abs=60)
    assert text.count(" ") == pytest.approx(300, abs=4)
    assert dict(directives(text).overrides) == {"latency": "0.2500", "tokens": "3"}


def backlog(free: float = 0.0) -> list[Record]:
    """All slots run from 0 to 10, twice as many wait; each slot idles `free` seconds at 5."""
    records = []
    for slot in range(plan.SLOTS):
        records.append(record(slot, 0.0, 0.0, 5.0 - free))
        records.append(record(100 + slot, 0.0, 5.0, 10.0))
        records += [record(200 + slot, 0.0), record(300 + slot, 0.0)]
    return [*records, record(999, 10.0)]


def test_slot_use_counts_idle_slots_while_work_waits() -> None:
    assert measures.slot_use(run(backlog())) == pytest.approx(1.0)
    assert measures.slot_use(run(backlog(free=1.0))) == pytest.approx(0.9)


def test_slot_use_ignores_times_without_a_backlog() -> None:
    assert measures.slot_use(run([record(0, 0.0, 0.0, 1.0), record(1, 50.0)])) is None


def picks(low_every: int) -> list[Record]:
    """A backlog of high and low; one pick in so many is low's."""
    made = []
    for n in range(100):
        level = "low" if n % low_every == 0 else "high"
        made.append(record(n, 0.0, 1.0 + n, 2.0 + n, level=level))
    waiting = [record(900, 0.0, level="high"), record(901, 0.0, level="low")]
    return [*made, *waiting, record(999, 200.0)]


def test_the_share_of_a_level_is_its_part_of_contested_picks() -> None:
    assert measures.share(run(picks(10)), "low") == pytest.approx(0.1)
    assert measures.share(run(picks(4)), "low") == pytest.approx(0.25)


def test_picks_without_a_better_level_waiting_are_not_contested() -> None:
    alone = [record(n, 0.0, 1.0 + n, 2.0 + n, level="low") for n in range(100)]

    assert measures.share(run([*alone, record(999, 200.0)]), "low") is None


def test_promises_are_judged_both_ways_and_small_ones_not_at_all() -> None:
    least = measures.LEAST_PROMISE_SECONDS / plan.USUAL.times
    at = measures.LEARNING_SECONDS
    records = [record(n, at, at + 10 * least, at + 11.0) for n in range(4)]
    records[0].promises = [Promise(at, 20 * least, "estimated_wait")]
    records[1].promises = [Promise(at, 5 * least, "estimated_wait")]
    records[2].promises = [Promise(at, 0.0, "estimated_wait")]
    records[3].promises = [Promise(at + 9.5 * least, least / 4, "estimated_wait")]
    seen = run([*records, record(999, 1000.0)])

    assert measures.promise_errors([seen]) == pytest.approx([2.0, 2.0, 10.0])


def test_promises_from_an_idle_start_are_judged_apart() -> None:
    early = record(0, 1.0, 5.0, 6.0)
    early.promises = [Promise(1.0, 2.0, "estimated_wait")]
    seen = run([early, record(999, 1000.0)])

    assert measures.promise_errors([seen]) == []
    assert measures.promise_errors([seen], learnt=False) == [2.0]


def test_promises_near_the_end_of_the_arrivals_are_not_judged() -> None:
    late = record(0, 99.0, 110.0, 111.0)
    late.promises = [Promise(99.0, 1000.0, "estimated_wait")]

    assert measures.promise_errors([run([late, record(999, 100.0)])]) == []


def test_admitted_waits_are_measured_by_their_levels_limit() -> None:
    limit = plan.USUAL.limits["normal"]
    at = measures.LEARNING_SECONDS
    records = [record(n, at, at + limit / 2, at + limit) for n in range(20)]

    assert measures.wait_by_limit(run([*records, record(999, 1000.0)]), "normal") == (
        pytest.approx(0.5)
    )
    assert measures.wait_by_limit(run(records), "normal") is None


def test_a_hurt_victim_is_one_whose_waits_are_long() -> None:
    hurt = plan.USUAL.hurt_seconds * 1.1
    flood = [record(n, 0.0, 1.0, 2.0, flow="loud") for n in range(20)]
    victims = [
        record(50, 0.0, hurt, hurt + 1, flow="late"),
        record(51, 0.0, 0.1, 1.0, flow="early"),
    ]
    seen = run([*flood, *victims], load=1.5)

    assert measures.victims_hurt(seen, learnt=False) == 0.5
    assert sorted(measures.victim_waits(seen, learnt=False)) == [0.1, hurt]
    assert measures.victims_hurt(seen) is None, "all were sent before anything was known"
    assert measures.victim_waits(seen) == []


def test_waits_over_time_are_medians_of_each_second() -> None:
    records = [record(0, 0.1, 1.1), record(1, 0.2, 3.2), record(2, 0.9, 10.0), record(3, 1.5, 1.5)]

    assert measures.over_time(run(records), "normal") == [(0.5, 3.0), (1.5, 0.0)]
