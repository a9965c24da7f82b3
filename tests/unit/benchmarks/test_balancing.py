"""The simulated endpoints and the queue before them: the benchmark must not flatter anybody."""

from __future__ import annotations

import pytest

from balancing.policies import profiles
from balancing.policies.hedging import Hedging
from benchmarks.balancing.figures import GOALS, goals, picture, rows, tables
from benchmarks.balancing.machine import BATCH, TOKEN_SECONDS, Call, Machine
from benchmarks.balancing.oracle import Oracle
from benchmarks.balancing.scenarios import SPEEDS, Figures, arrivals, cases, policies
from benchmarks.balancing.simulation import Change, Chooser, Product, Simulation
from benchmarks.traces import Arrival, until

EXPECTED_WORK = Product(profiles.expected_work)
ALONE = TOKEN_SECONDS * (1 + 1 / BATCH)


def asked(
    at: float = 0.0, *, tokens: int = 100, level: str = "normal", **fields: object
) -> Arrival:
    return Arrival(at, 0, tokens, level=level, **fields)  # type: ignore[arg-type]


def simulated(chooser: Chooser = EXPECTED_WORK, speeds: tuple[float, ...] = SPEEDS) -> Simulation:
    return Simulation(chooser, speeds)


class TestMachine:
    def test_a_lone_stream_takes_its_tokens_times_their_time(self) -> None:
        (done,) = simulated(speeds=(0.5,)).run([asked(tokens=100)])

        assert done.seconds == pytest.approx(100 * ALONE / 0.5)

    def test_streams_slow_each_other_down(self) -> None:
        both = simulated(speeds=(1.0,)).run([asked(), asked()])

        assert [d.seconds for d in both] == pytest.approx(
            [100 * TOKEN_SECONDS * (1 + 2 / BATCH)] * 2
        )

    def test_one_that_ends_gives_way_to_the_others(self) -> None:
        short, long = simulated(speeds=(1.0,)).run([asked(tokens=50), asked(tokens=100)])

        assert short.seconds == pytest.approx(50 * TOKEN_SECONDS * (1 + 2 / BATCH))
        assert long.seconds == pytest.approx(short.seconds + 50 * ALONE)

    def test_a_slowdown_meets_those_that_run(self) -> None:
        (done,) = simulated(speeds=(1.0,)).run([asked()], [Change(50 * ALONE, 0, slowdown=10.0)])

        assert done.seconds == pytest.approx(50 * ALONE + 500 * ALONE)

    def test_a_prompt_takes_time_unless_it_is_cached(self) -> None:
        machine = Machine(0, 1.0)
        long = Arrival(0.0, 7500, 1, session="s", prefix_tokens=7500)

        saved = [machine.begin(Call(long, machine, 0.0), 0.0) for _ in range(2)]

        assert saved == [0, 7500]
        assert machine.next_at() == pytest.approx(TOKEN_SECONDS * (1 + 2 / BATCH))

    def test_a_full_cache_forgets_the_oldest(self) -> None:
        machine = Machine(0, 1.0, cache_tokens=1500)
        prompts = [Arrival(0.0, 1000, 1, session=name, prefix_tokens=1000) for name in "aba"]

        saved = [machine.begin(Call(each, machine, 0.0), 0.0) for each in prompts]

        assert saved[2] == 512, "only the block that all prompts share"


class TestSimulation:
    @pytest.mark.parametrize("policy", policies()[1:-1])
    def test_every_request_ends_once_and_no_slot_is_used_twice(self, policy: str) -> None:
        simulation = simulated(Watching(Product(getattr(profiles, policy))))
        requests = list(until(arrivals(0.9, "azure"), 30.0))

        done = simulation.run(
            requests, [Change(5.0, 0, slowdown=10.0), Change(9.0, 1, failing=0.5)]
        )

        assert sorted(d.arrival.ts for d in done) == [a.ts for a in requests]
        assert all(d.seconds > 0 for d in done)

    def test_a_full_house_makes_them_wait_in_order(self) -> None:
        done = simulated(speeds=(1.0,)).run([asked(n / 1000) for n in range(40)])

        assert [d.arrival.ts for d in done] == sorted(d.arrival.ts for d in done)

    def test_a_failed_call_is_made_again_elsewhere(self) -> None:
        simulation = simulated(speeds=(1.0, 1.0))

        done = simulation.run([asked(n) for n in range(40)], [Change(0.0, 0, failing=1.0)])

        assert {d.attempts for d in done} == {1, 2}
        assert simulation.watched[0].standing.count > 0, "and is ejected in the end"

    def test_a_silent_endpoint_is_hedged_within_the_budget(self) -> None:
        simulation = simulated(speeds=(1.0, 1.0))
        simulation.hedging = Hedging(most=0.5)
        requests = [asked(n * 3.0, tokens=20, level="realtime") for n in range(20)]

        done = simulation.run(requests, [Change(31.0, 0, slowdown=1000.0)])

        assert 1 <= simulation.hedges <= 10
        assert max(d.seconds for d in done) < 10.0, "nobody waits for the silent one"

    def test_a_slow_endpoint_is_left_and_found_again(self) -> None:
        simulation = simulated(Counting(EXPECTED_WORK))
        chosen = simulation.chooser
        assert isinstance(chosen, Counting)

        simulation.run(
            until(arrivals(0.5, "azure"), 850.0),
            [Change(100.0, 0, slowdown=10.0), Change(400.0, 0)],
        )

        def share(begin: float, end: float) -> float:
            seen = [machine for at, machine in chosen.seen if begin <= at < end]
            return seen.count(0) / len(seen)

        assert share(30.0, 100.0) > 0.15
        assert share(150.0, 400.0) < 0.03
        # By chance one call more or less shows that it is well again: 100 to 250 s of eight seeds.
        assert share(700.0, 850.0) > 0.15

    def test_the_oracle_beats_the_product(self) -> None:
        requests = list(until(arrivals(0.7, "azure"), 120.0))

        theirs, ours = (
            sum(d.seconds for d in simulated(chooser).run(requests))
            for chooser in (Oracle(), EXPECTED_WORK)
        )

        assert theirs < 1.03 * ours


class Counting:
    """Notes where a chooser sends requests, and when."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser = chooser
        self.seen: list[tuple[float, int]] = []

    def choose(self, world: Simulation, request: object) -> Machine | None:
        machine = self._chooser.choose(world, request)  # type: ignore[arg-type]
        if machine is not None:
            self.seen.append((world.now, machine.id))
        return machine


class Watching(Counting):
    """Never a full machine."""

    def choose(self, world: Simulation, request: object) -> Machine | None:
        machine = super().choose(world, request)
        assert machine is None or len(machine.calls) < machine.slots
        return machine


class TestFigures:
    def test_every_profile_is_measured_under_every_condition(self) -> None:
        found = cases()

        assert len(found) == len(set(found))
        assert {case.condition for case in found} == {
            "healthy", "degraded", "failing", "conversations",
        }  # fmt: skip
        assert {condition for condition, _ in GOALS} <= {case.condition for case in found}

    def test_a_miss_is_shown_as_one(self) -> None:
        fine = Figures(2.0, 10.0, 20.0, 99.5, 50.0, 1.0, 40.0)
        poor = Figures(2.0, 15.0, 20.0, 50.0, 50.0, 1.5, 40.0)
        results = dict.fromkeys(cases(), fine)
        assert all(row.met is not False for row in goals(results))

        results |= {case: poor for case in results if case.policy == "expected_work"}

        assert sum(row.met is False for row in goals(results)) == 7
        assert len(rows(results)) > 300
        assert "degraded, 70% load" in tables(results)
        assert picture(results).startswith("<svg")
