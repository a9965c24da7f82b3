"""The simulator itself: nothing is lost, time is right, and the policies are the product's."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

import pytest

from benchmarks import traces
from benchmarks.simulation import scenarios
from benchmarks.simulation.doors import Admitting, Open
from benchmarks.simulation.fair_tags import FairTags
from benchmarks.simulation.jobs import Job, Speed
from benchmarks.simulation.measures import Histogram, Meter
from benchmarks.simulation.orders import ByArrival, TokenCounters
from benchmarks.simulation.policies import FAIRNESS, POLICIES, Made, configured
from benchmarks.simulation.queues import Levels, One, StockCelery
from benchmarks.simulation.replay import Replay
from benchmarks.simulation.scenarios import Scenario
from benchmarks.traces import Arrival
from scheduling.policies import fairness
from scheduling.policies.levels import Floors, Strict
from scheduling.waiting.admission import Admission


class Recorder(Meter):
    """A meter that remembers jobs."""

    def __init__(self) -> None:
        super().__init__(by_flow=True)
        self.begun: list[Job] = []
        self.finished: list[int] = []

    def starts(self, job: Job) -> None:
        super().starts(job)
        self.begun.append(job)

    def ended(self, job: Job, now: float) -> None:
        super().ended(job, now)
        self.finished.append(job.number)


def replayed(
    arrivals: Iterable[Arrival],
    made: Made,
    *,
    slots: int,
    service: Callable[[Arrival], float] = lambda arrival: arrival.output_tokens,
    turnaround: float = 0.0,
) -> Recorder:
    queue, door = made
    recorder = Recorder()
    Replay(
        arrivals,
        slots=slots,
        service_seconds=service,
        queue=queue,
        door=door,
        observer=recorder,
        turnaround_seconds=turnaround,
    ).run()
    return recorder


def waits(recorder: Recorder) -> list[float]:
    return [job.wait_seconds for job in sorted(recorder.begun, key=lambda job: job.number)]


def busy(load: float, requests: int = 1500) -> Sequence[Arrival]:
    scenario = Scenario("", load, slots=8, flows=traces.noisy_flows(10, noisy=1, share=0.5))
    return list(islice(scenario.arrivals(), requests))


# ---- time ------------------------------------------------------------------------------------


def test_one_slot_serves_one_after_the_other() -> None:
    arrivals = [Arrival(0, 0, 4), Arrival(1, 0, 2), Arrival(2, 0, 1), Arrival(20, 0, 1)]

    recorder = replayed(arrivals, (One(ByArrival()), Open()), slots=1)

    assert waits(recorder) == [0, 3, 4, 0]
    assert recorder.busy_seconds == 8
    assert recorder.backlogged_seconds == 5  # from 1, when the second came, to 6
    assert recorder.slot_use(1) == 1.0


def test_a_slot_stands_empty_between_two_jobs() -> None:
    arrivals = [Arrival(0, 0, 4), Arrival(1, 0, 2)]

    recorder = replayed(arrivals, (One(ByArrival()), Open()), slots=1, turnaround=0.5)

    assert waits(recorder) == [0, 3.5]
    assert recorder.slot_use(1) == pytest.approx(3 / 3.5)


def test_two_slots_and_levels_by_strict_order() -> None:
    arrivals = [
        Arrival(0, 0, 5),
        Arrival(0, 0, 7),
        Arrival(1, 0, 4, level="low"),
        Arrival(2, 0, 4, level="high"),
        Arrival(3, 0, 4, level="realtime"),
    ]

    recorder = replayed(arrivals, (Levels([Strict({})]), Open()), slots=2)

    # Slots free at 5 (realtime), 7 (high) and 9 (low).
    assert waits(recorder) == [0, 0, 8, 5, 2]


@pytest.mark.parametrize(("load", "tolerance"), [(0.6, 0.05), (0.8, 0.1)])
def test_fifo_waits_as_long_as_theory_says(load: float, tolerance: float) -> None:
    """M/M/c, by Erlang's C formula: 4 slots, mean service 1 s; waits in a row resemble each other,
    so that even the mean of 100,000 is off by some percent."""
    rng, slots = random.Random(3), 4

    def poisson() -> Iterator[Arrival]:
        now = 0.0
        for _ in range(100_000):
            now += rng.expovariate(slots * load)
            yield Arrival(now, 0, 1)

    recorder = Meter()
    Replay(
        poisson(),
        slots=slots,
        service_seconds=lambda _: rng.expovariate(1.0),
        queue=One(ByArrival()),
        door=Open(),
        observer=recorder,
    ).run()

    mean = recorder.levels["normal"].waits.mean
    assert mean == pytest.approx(erlang_wait(slots, slots * load), rel=tolerance)


def erlang_wait(slots: int, offered: float) -> float:
    """Mean wait in service times."""
    top = offered**slots / math.factorial(slots) * slots / (slots - offered)
    waiting = top / (sum(offered**n / math.factorial(n) for n in range(slots)) + top)
    return waiting / (slots - offered)


# ---- nothing is lost -------------------------------------------------------------------------

ALL = {**POLICIES, **{f"within: {name}": make for name, make in FAIRNESS.items()}}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("load", [0.6, 2.5])
def test_every_arrival_ends_once_or_is_refused(name: str, load: float) -> None:
    arrivals = busy(load)

    recorder = replayed(
        arrivals, ALL[name](8), slots=8, service=Speed().service_seconds, turnaround=0.01
    )

    refused = sum(level.refused for level in recorder.levels.values())
    assert sum(level.arrived for level in recorder.levels.values()) == len(arrivals)
    assert len(recorder.finished) + refused == len(arrivals)
    assert max(Counter(recorder.finished).values()) == 1
    assert min(waits(recorder)) >= 0
    used = sum(map(Speed().service_seconds, [job.arrival for job in recorder.begun]))
    assert recorder.busy_seconds == pytest.approx(used)


@pytest.mark.parametrize("name", ALL)
def test_the_same_seed_gives_the_same_run(name: str) -> None:
    runs = [
        waits(replayed(busy(1.5, 600), ALL[name](8), slots=8, service=Speed().service_seconds))
        for _ in range(2)
    ]

    assert runs[0] == runs[1]


def test_another_seed_gives_another_run() -> None:
    one, other = (list(islice(Scenario("", 1.0, seed=seed).arrivals(), 50)) for seed in (1, 2))

    assert [each.level for each in one] != [each.level for each in other]


# ---- the policies are the product's ----------------------------------------------------------


def test_the_policies_are_the_products() -> None:
    queue = configured()

    assert all(isinstance(policy, Floors) for policy in queue._policies)
    assert len({id(policy) for policy in queue._policies}) == len(queue._policies) > 1
    for order in queue.orders.values():
        assert isinstance(order, FairTags)
        assert isinstance(order.level, fairness.Level)
    assert isinstance(Admitting(queue, slots=8)._admission, Admission)


def test_admission_refuses_what_would_wait_too_long_and_says_how_long() -> None:
    recorder = replayed(
        busy(3.0, 4000), POLICIES["llmqueue"](8), slots=8, service=Speed().service_seconds
    )

    assert recorder.refused("low") > 0.2
    assert recorder.refused("realtime") == 0
    assert recorder.estimates.count > 100


# ---- the peers -------------------------------------------------------------------------------


def test_stock_celery_holds_what_it_has_fetched() -> None:
    """One worker with one slot fetches four; a realtime message behind them waits for all."""
    arrivals = [Arrival(0, 0, 1, level="low") for _ in range(6)]
    arrivals.append(Arrival(0.5, 0, 1, level="realtime"))

    recorder = replayed(arrivals, (StockCelery(1, workers=1), Open()), slots=1)

    order = [job.level for job in recorder.begun]
    assert order.index("realtime") == 5


def test_counters_serve_who_was_served_least() -> None:
    arrivals = [Arrival(0, 0, 10, flow="a") for _ in range(3)]
    arrivals += [Arrival(1, 0, 10, flow="b"), Arrival(2, 0, 10, flow="b")]

    recorder = replayed(arrivals, (One(TokenCounters()), Open()), slots=1)

    assert [job.flow for job in recorder.begun] == ["a", "b", "a", "b", "a"]


# ---- the figures -----------------------------------------------------------------------------


def test_quantiles_are_within_half_a_percent() -> None:
    histogram, rng = Histogram(), random.Random(1)
    values = sorted(rng.lognormvariate(0, 2) for _ in range(5000))
    for value in values:
        histogram.add(value)

    assert histogram.mean == pytest.approx(sum(values) / len(values))
    for share in (0.01, 0.5, 0.99):
        assert histogram.quantile(share) == pytest.approx(
            values[math.ceil(share * 5000) - 1], rel=0.006
        )


def test_no_waits_have_no_quantile_and_no_wait_is_none() -> None:
    histogram = Histogram()
    assert histogram.quantile(0.5) is None

    histogram.add(0.0)
    assert histogram.quantile(0.5) == 0.0


def test_a_share_counts_picks_while_the_level_waits() -> None:
    arrivals = [Arrival(0, 0, 1, level="realtime") for _ in range(9)]
    arrivals.insert(0, Arrival(0, 0, 1, level="low"))
    arrivals.append(Arrival(30, 0, 1, level="low"))

    recorder = replayed(arrivals, (Levels([Strict({})]), Open()), slots=1)

    # The first is picked at once, the other when it arrives: each time the only one of its level.
    assert recorder.share("low") == 1.0
    assert recorder.share("realtime") == 1.0


def test_a_day_needs_no_more_memory_than_an_hour() -> None:
    day = Scenario("", 0.5, hours=24.0)

    first = list(islice(day.arrivals(), 100))

    assert first[-1].ts < 100
    assert day.expected_seconds() == 24 * 3600


def test_progress_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[float] = []
    scenario = Scenario("", 0.5, slots=4, hours=0.05)

    meter = scenarios.run(scenario, partial(POLICIES["fifo"]), progress=heard.append)

    assert heard
    assert meter.levels["normal"].ended > 0
