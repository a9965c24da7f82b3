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
    assert plan.limits()["low"] / plan.limits()["realtime"] == pytest.approx(200)
    assert plan.limits()["low"] == pytest.approx(600 / plan.compression())


def test_a_fair_share_is_filled_from_below() -> None:
    assert plan.fair_share({"a": 1, "b": 2, "c": 9}, 8.0) == 5.0
    assert plan.fair_share({"a": 1, "b": 2}, 8.0) == float("inf")


def test_victims_are_those_within_their_share() -> None:
    asked = [request(n, flow="loud") for n in range(8)] + [request(9, flow="quiet")]

    assert plan.victims(asked, load=1.5) == ["quiet"]
    assert plan.victims(asked, load=0.5) == ["loud", "quiet"]
