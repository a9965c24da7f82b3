"""What is replayed: load, service times, levels and victims."""

import pytest

from benchmarks.scheduling import plan
from scheduling.levels import LEVELS
from tests.unit.benchmarks.scheduling.making import request


@pytest.mark.parametrize("load", [0.95, 2.0])
def test_a_scenario_offers_its_load_in_its_time(load: float) -> None:
    scenario = plan.chat(load, 10.0, contenders=["llmqueue"])

    work = sum(each.service_seconds for each in scenario.requests)
    assert work / (plan.SLOTS * scenario.seconds) == pytest.approx(load, rel=0.02)
    assert scenario.seconds == pytest.approx(10.0, rel=0.05)
    assert {each.level for each in scenario.requests} == set(LEVELS)
    assert scenario.percent == round(load * 100)


def test_the_same_scenario_every_time() -> None:
    assert plan.tenants(1.5, 5.0, contenders=()) == plan.tenants(1.5, 5.0, contenders=())


def test_some_requests_are_told_what_to_expect() -> None:
    ways = [each.way for each in plan.chat(1.0, 20.0, contenders=()).requests]

    assert ways.count("rest") / len(ways) == pytest.approx(0.1, abs=0.03)
    assert ways.count("stream") / len(ways) == pytest.approx(0.1, abs=0.03)


def test_limits_shrink_with_service_times() -> None:
    limits = plan.USUAL.limits

    assert limits["low"] / limits["realtime"] == pytest.approx(200)
    assert limits["low"] == pytest.approx(600 / plan.USUAL.times)


def test_a_slower_run_has_longer_services_fewer_arrivals_and_longer_limits() -> None:
    slower = plan.Compression(slower=2.0)

    usual, slow = (
        plan.chat(1.0, 10.0, contenders=(), compression=each) for each in (plan.USUAL, slower)
    )

    assert len(slow.requests) == pytest.approx(len(usual.requests) / 2, abs=1)
    assert slow.seconds == pytest.approx(usual.seconds, rel=0.05)
    assert slower.limits["low"] == pytest.approx(2 * plan.USUAL.limits["low"])


def test_a_fair_share_is_filled_from_below() -> None:
    assert plan.fair_share({"a": 1, "b": 2, "c": 9}, 8.0) == 5.0
    assert plan.fair_share({"a": 1, "b": 2}, 8.0) == float("inf")


def test_victims_are_those_within_their_share() -> None:
    asked = [request(n, flow="loud") for n in range(8)] + [request(9, flow="quiet")]

    assert plan.victims(asked, load=1.5) == ["quiet"]
    assert plan.victims(asked, load=0.5) == ["loud", "quiet"]
