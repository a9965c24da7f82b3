"""Streams that slow each other down."""

import pytest

from tests.fake_llm.batch import LONGEST_SLEEP_SECONDS, Batch


@pytest.fixture
def batch() -> Batch:
    found = Batch()
    found.adjust(0.0, size=2, tokens_per_second=30.0)
    return found


def test_a_lone_stream_shares_with_itself_alone(batch: Batch) -> None:
    batch.join(0.0)

    assert batch.clock(1.0) == pytest.approx(30 / 1.5)


def test_a_full_batch_halves_the_pace_from_then_on(batch: Batch) -> None:
    batch.join(0.0)
    mark = batch.join(1.0)

    assert batch.clock(2.0) - mark == pytest.approx(15.0)


def test_the_clock_stands_while_nobody_streams(batch: Batch) -> None:
    batch.join(0.0)
    batch.leave(1.0)

    assert batch.clock(9.0) == batch.clock(1.0) == pytest.approx(20.0)


def test_a_control_changes_the_pace_of_those_that_run(batch: Batch) -> None:
    batch.join(0.0)
    batch.adjust(1.0, size=2, tokens_per_second=3.0)

    assert batch.clock(2.0) == pytest.approx(20 + 2)


def test_it_cannot_be_turned_off_under_a_running_stream(batch: Batch) -> None:
    batch.join(0.0)
    batch.adjust(1.0, size=0, tokens_per_second=0.0)
    kept = batch.size
    batch.leave(1.0)
    batch.adjust(1.0, size=0, tokens_per_second=0.0)

    assert (kept, batch.size) == (2, 0)


def test_who_waits_for_a_mark_looks_again_in_time(batch: Batch) -> None:
    batch.join(0.0)

    assert batch.look_again_at(1.0, 0.0) == pytest.approx(1 / 20)
    assert batch.look_again_at(1000.0, 0.0) == pytest.approx(LONGEST_SLEEP_SECONDS)
