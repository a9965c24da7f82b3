"""The recorded arrivals and how they are shaped."""

from collections import Counter
from itertools import islice, pairwise

import pytest

from benchmarks import traces
from benchmarks.traces import Arrival

TWO = (Arrival(0.0, 10, 100, session="a"), Arrival(4.0, 10, 100))


def seconds(arrival: Arrival) -> float:
    return arrival.output_tokens / 50


@pytest.mark.parametrize(
    ("name", "requests", "output_tokens"),
    [
        ("azure-conversation", 19_366, 4_088_665),
        ("azure-code", 8_819, 245_896),
        ("mooncake-conversation", 12_031, 4_122_048),
        ("servegen-tenants", 19_976, 1_304_767),
    ],
)
def test_a_file_is_read_whole_and_in_order(name: str, requests: int, output_tokens: int) -> None:
    arrivals = traces.TRACES[name]()

    assert len(arrivals) == requests
    assert sum(each.output_tokens for each in arrivals) == output_tokens
    assert all(one.ts <= other.ts for one, other in pairwise(arrivals))


def test_sessions_and_prefixes_come_from_mooncake() -> None:
    arrivals = traces.mooncake_conversation()

    assert len({each.session for each in arrivals}) > 100
    assert any(each.prefix_tokens for each in arrivals)
    assert all(each.prefix_tokens <= each.input_tokens for each in arrivals)


def test_tenants_come_from_servegen() -> None:
    flows = Counter(each.flow for each in traces.servegen_tenants())

    assert len(flows) == 47
    assert flows.most_common(1) == [("104", 12_108)]


@pytest.mark.parametrize("load", [0.5, 0.95, 2.0])
def test_a_trace_is_moved_to_a_load(load: float) -> None:
    arrivals = tuple(
        traces.at_load(traces.azure_conversation(), load, slots=32, service_seconds=seconds)
    )

    assert traces.offered_load(arrivals, slots=32, service_seconds=seconds) == pytest.approx(load)


def test_compressing_changes_times_only() -> None:
    assert [each.ts for each in traces.compressed(TWO, 2)] == [0.0, 2.0]
    assert [each.output_tokens for each in traces.compressed(TWO, 2)] == [100, 100]


def test_a_repetition_follows_a_mean_gap_later_with_new_sessions() -> None:
    arrivals = list(traces.repeated(TWO, seconds=13))

    assert [each.ts for each in arrivals] == [0.0, 4.0, 8.0, 12.0]
    assert [each.session for each in arrivals] == ["a", "", "a/1", ""]


def test_a_repetition_is_made_as_it_is_asked_for() -> None:
    assert len(list(islice(traces.repeated(TWO, seconds=1e12), 5))) == 5


def test_until_ends_before_the_instant() -> None:
    assert [each.ts for each in traces.until(TWO, 4.0)] == [0.0]


def test_levels_are_drawn_by_the_mix_and_the_seed() -> None:
    arrivals = traces.azure_conversation()
    levels = [each.level for each in traces.with_levels(arrivals, seed=7)]
    counted = Counter(levels)

    assert levels == [each.level for each in traces.with_levels(arrivals, seed=7)]
    assert levels != [each.level for each in traces.with_levels(arrivals, seed=8)]
    for level, share in traces.MIX.items():
        assert counted[level] / len(arrivals) == pytest.approx(share, abs=0.01)


def test_noisy_flows_send_their_share() -> None:
    weights = traces.noisy_flows(50, noisy=4, share=0.6)
    arrivals = traces.with_flows(traces.azure_conversation(), weights)
    flows = Counter(each.flow for each in arrivals)

    assert len(weights) == 50
    assert sum(weights.values()) == pytest.approx(1)
    noisy = sum(n for flow, n in flows.items() if flow.startswith("noisy"))
    assert noisy / flows.total() == pytest.approx(0.6, abs=0.01)
