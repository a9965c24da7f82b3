"""Which tickets are published for what waits."""

from __future__ import annotations

from scheduling.levels import LEVELS
from scheduling.top_up import TopUp
from tests.unit.scheduling.queues import StubQueues


def waiting(**queued: int) -> dict[str, int]:
    return dict.fromkeys(LEVELS, 0) | queued


async def test_a_ticket_for_each_job_that_was_queued() -> None:
    queues = StubQueues()

    await TopUp(queues).publish({"high": 2, "low": 1}, waiting=waiting(high=2, low=1))

    assert queues.published == {"high": 2, "low": 1}


async def test_what_is_short_twice_in_a_row_is_published_once() -> None:
    queues = StubQueues(normal=3)
    top_up = TopUp(queues)

    await top_up.publish({}, waiting=waiting(normal=5))
    assert queues.published == {}, "a submit may be about to publish"
    for _ in range(3):
        await top_up.publish({}, waiting=waiting(normal=5))

    assert queues.published == {"normal": 2}


async def test_of_two_shortfalls_the_smaller_is_sure() -> None:
    queues = StubQueues()
    top_up = TopUp(queues)

    await top_up.publish({}, waiting=waiting(low=2))
    await top_up.publish({}, waiting=waiting(low=7))

    assert queues.published == {"low": 2}


async def test_more_tickets_than_jobs_are_left_alone() -> None:
    queues = StubQueues(realtime=9)
    top_up = TopUp(queues)

    for _ in range(3):
        await top_up.publish({}, waiting=waiting(realtime=1))

    assert queues.published == {}
