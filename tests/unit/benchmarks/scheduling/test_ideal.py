"""The perfect policies that real waits are compared with."""

from benchmarks.scheduling import ideal
from tests.unit.benchmarks.scheduling.making import request


def test_strict_serves_the_higher_level_first_and_interrupts_nobody() -> None:
    requests = [
        request(0, level="low"),
        request(1, at=0.1, level="low"),
        request(2, at=0.5, level="realtime"),
    ]

    assert ideal.waits(requests, ideal.Strict(), slots=1) == {0: 0.0, 2: 0.5, 1: 1.9}


def test_a_free_slot_is_taken_at_once() -> None:
    requests = [request(0), request(1), request(2, at=3.0)]

    assert ideal.waits(requests, ideal.Strict(), slots=2) == {0: 0.0, 1: 0.0, 2: 0.0}


def test_token_counters_let_a_newcomer_pass_a_flood() -> None:
    flood = [request(n, flow="loud") for n in range(4)]
    requests = [*flood, request(9, at=0.5, flow="quiet")]

    waits = ideal.waits(requests, ideal.Counters(), slots=1)

    assert waits[9] == 1.5  # one of the flood's, at the same count, was first
    assert waits[3] == 4.0


def test_a_flow_that_was_idle_has_no_credit() -> None:
    early = [request(n, flow="steady") for n in range(5)]
    late = [request(10 + n, at=2.5, flow="newcomer") for n in range(5)]

    waits = ideal.waits([*early, *late], ideal.Counters(), slots=1)

    assert waits[10] < 2 < waits[12]
    assert waits[4] < 10
