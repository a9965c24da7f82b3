"""Spoken means content: until a client has some, another endpoint can take over unseen. Stubs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from balancing.calls.answer import OnChunk, Piece
from balancing.errors import Broken, TimedOut, Unavailable
from scheduling.execution import race
from scheduling.execution.run import Stop
from scheduling.models import Status
from scheduling.outbox import DELTA, FINAL, RESET, STARTED, USAGE
from tests.hot_path import claimed
from tests.unit.scheduling.execution.test_hedging import ANSWER, HedgedWorld, Slow, urgent
from tests.unit.scheduling.execution.test_runner import (
    HELLO,
    Step,
    StubClient,
    StubPool,
    World,
    settled,
)

ROLE, TEXT, COUNTS = ("role", Piece.FRAME), ("text", Piece.CONTENT), ("usage", Piece.USAGE)


def says(*chunks: tuple[str, Piece], then: Step) -> Callable[[OnChunk], Any]:
    async def step(on_chunk: OnChunk) -> Any:
        for chunk, piece in chunks:
            on_chunk(chunk, piece)
        return then

    return step


class Framed(Slow):
    """Sends a role at once; what it is told to say is content."""

    async def __call__(self, on_chunk: OnChunk) -> Any:
        on_chunk(*ROLE)
        return await super().__call__(on_chunk)


class TestFailover:
    @pytest.mark.parametrize("source", ["openai", "api"])
    @pytest.mark.parametrize(
        "error",
        [Broken("broken", "off"), Unavailable("endpoint_error", "no"), TimedOut("stalled", "no")],
    )
    async def test_an_endpoint_that_dies_after_its_role_is_never_seen(
        self, source: str, error: Exception
    ) -> None:
        first = says(("role 1", Piece.FRAME), ("empty 1", Piece.FRAME), COUNTS, then=error)
        second = says(("role 2", Piece.FRAME), TEXT, COUNTS, then=HELLO)
        world = World(StubClient(first, second), StubPool(2, offers=[2]))

        await world.run(claimed(stream=True, source=source))

        told = [(kind, data) for _, kind, data in world.outbox.entries if kind != FINAL]
        assert [kind for kind, _ in told] == [STARTED, STARTED, DELTA, DELTA, USAGE]
        assert [data for _, data in told[2:]] == ["role 2", "text", "usage"]
        assert (world.ending.status, world.ending.endpoint_id) == (Status.COMPLETED, 2)

    async def test_frames_are_not_charged_and_no_first_token(self) -> None:
        world = World(StubClient(says(ROLE, ROLE, then=Broken("broken", "off"))))

        await world.run(claimed(stream=True))

        assert world.retry["first_token_at"] is None
        assert world.retry["spent"]["completion_tokens"] == 0

    async def test_after_content_there_is_no_second_answer(self) -> None:
        world = World(
            StubClient(says(ROLE, TEXT, then=Broken("broken", "off"))), StubPool(2, offers=[2])
        )

        await world.run(claimed(stream=True))

        assert world.ending.status == Status.FAILED
        assert world.outbox.kinds == [STARTED, DELTA, DELTA, FINAL]

    async def test_a_worker_that_gives_back_what_was_silent_resets_nothing(self) -> None:
        world = World(StubClient(Framed()))
        job = claimed(stream=True, source="api")
        task = world.begin(job)
        await settled()

        world.runner.stop(job.id, Stop.SHUTDOWN)
        await task

        assert RESET not in world.outbox.kinds
        assert DELTA not in world.outbox.kinds


class TestDelivery:
    async def test_frames_come_in_order_with_the_first_content(self) -> None:
        pause = asyncio.Event()

        async def step(on_chunk: OnChunk) -> Any:
            on_chunk(*ROLE)
            on_chunk("filter", Piece.FRAME)
            await pause.wait()
            for chunk in (TEXT, ("late", Piece.FRAME), TEXT, COUNTS):
                on_chunk(*chunk)
            return HELLO

        world = World(StubClient(step))
        task = world.begin(claimed(stream=True))
        await settled()
        assert world.outbox.kinds == [STARTED]
        pause.set()
        await task

        texts = [data for _, kind, data in world.outbox.entries if kind == DELTA]
        assert texts == ["role", "filter", "text", "late", "text"]
        assert world.outbox.kinds[-2:] == [USAGE, FINAL]
        assert world.ending.first_token_at is not None

    async def test_an_answer_without_any_content_is_delivered(self) -> None:
        world = World(StubClient(says(ROLE, COUNTS, then=HELLO)))

        await world.run(claimed(stream=True))

        assert world.outbox.kinds == [STARTED, DELTA, USAGE, FINAL]

    async def test_what_is_held_back_is_bounded(self) -> None:
        empty = [(str(number), Piece.FRAME) for number in range(race.MOST_HELD * 3)]
        world = World(StubClient(says(*empty, TEXT, then=HELLO)))

        await world.run(claimed(stream=True))

        assert world.outbox.kinds.count(DELTA) == race.MOST_HELD + 1


class TestHedges:
    async def test_a_role_wins_no_race(self) -> None:
        first, second = Framed(), Framed()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await second.does("from 2", ANSWER)
        await task

        assert first.stopped
        assert world.texts == ["role", "from 2"], "one role, of the call that is kept"
        assert world.ending.endpoint_id == 2
        assert world.pool.endings[0].first_token_seconds > 0, "its first token is overdue"

    async def test_a_role_does_not_keep_a_hedge_from_being_due(self) -> None:
        first, second = Framed(), Slow()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await first.does("from 1", ANSWER)
        await task

        assert world.texts == ["role", "from 1"]
        started = [orjson.loads(d)["endpoint"] for _, k, d in world.outbox.entries if k == STARTED]
        assert started == ["e1"]

    async def test_a_hedge_takes_over_from_one_that_dies_after_its_role(self) -> None:
        first, second = Framed(), Framed()
        world = HedgedWorld(first, second)
        task = world.begin(urgent())
        await second.called.wait()

        await first.does(Broken("broken", "off"))
        await second.does("from 2", ANSWER)
        await task

        assert world.texts == ["role", "from 2"]
        assert (world.ending.status, world.ending.endpoint_id) == (Status.COMPLETED, 2)
