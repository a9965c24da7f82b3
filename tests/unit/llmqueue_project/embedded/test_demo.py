from __future__ import annotations

from pathlib import Path

import pytest

from llmqueue_project.embedded import demo
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.exchange import Exchange
from llmqueue_project.embedded.state import State


def exchange(level: str, *, sent_at: float, waited: float) -> Exchange:
    return Exchange(level, "/v1 stream", sent_at=sent_at, waited=waited)


LATE = [exchange("low", sent_at=0.0, waited=waited) for waited in (5.0, 6.0, 7.0)]
EARLY = exchange("low", sent_at=0.0, waited=0.1)


def test_the_order_is_proved_when_the_waiting_ones_were_passed() -> None:
    realtime = exchange("realtime", sent_at=1.0, waited=2.0)

    assert demo._verdict([EARLY, *LATE], realtime) == 0


def test_one_low_request_may_go_first_for_its_guaranteed_share() -> None:
    realtime = exchange("realtime", sent_at=1.0, waited=4.5)

    assert demo._verdict([EARLY, *LATE], realtime) == 0


def test_first_come_first_served_fails_the_demonstration() -> None:
    realtime = exchange("realtime", sent_at=1.0, waited=7.0)

    assert demo._verdict([EARLY, *LATE], realtime) == 1


def test_an_order_that_was_not_put_to_the_test_is_no_success() -> None:
    realtime = exchange("realtime", sent_at=1.0, waited=0.0)

    with pytest.raises(EmbeddedError, match="no order to show"):
        demo._verdict([EARLY, EARLY], realtime)


def test_no_running_stack_without_its_env_file(tmp_path: Path) -> None:
    assert demo.running(State(tmp_path)) is None
