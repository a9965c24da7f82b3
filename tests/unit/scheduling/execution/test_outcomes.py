"""The end of a job: stored once, then told, and told to the right ones."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from structlog.testing import capture_logs

from balancing.calls.answer import Answer
from balancing.errors import Refused, Unavailable
from scheduling.dispatch.slot import Placement, Slot
from scheduling.execution.call import EndpointCall
from scheduling.execution.outcomes import CANCELLED, CRASHED, OUT_OF_TIME, End, Outcomes
from scheduling.execution.run import Run
from scheduling.models import Attempt, Source, Status
from scheduling.outbox import FINAL, JobStream
from tests.hot_path import claimed
from tests.unit.scheduling.execution.test_runner import (
    StubClaims,
    StubOutbox,
    StubPool,
    target,
)

ANSWER = Answer(body='{"a":1}', text="hello", prompt_tokens=3, completion_tokens=2)


class World:
    def __init__(self) -> None:
        self.claims = StubClaims()
        self.outbox = StubOutbox()
        self.told: list[Status] = []
        self.outcomes = Outcomes(claims=self.claims, outbox=self.outbox, announcer=self)

    async def announce(self, job: Any, status: Status) -> None:
        assert self.claims.finished, "stored before it is told"
        assert not self.outbox.entries, "the app above is told first"
        self.told.append(status)


def run(*, model: str = "", **fields: Any) -> Run:
    job = claimed(**fields)
    slot = Slot(Placement(target(1), '{"why":1}', model=model), job.lease, StubPool())
    return Run(job, EndpointCall(slot, streamed=job.stream), JobStream.of(job, job.attempts))


async def test_an_answer_is_stored_with_what_it_cost() -> None:
    world, one = World(), run()

    await world.outcomes.complete(one, ANSWER)

    (finish,) = world.claims.finished
    assert (finish.status, finish.outcome) == (Status.COMPLETED, Attempt.Outcome.OK)
    assert (finish.prompt_tokens, finish.completion_tokens, finish.actual_cost) == (3, 2, 7.0)
    assert (finish.endpoint_name, finish.why) == ("e1", '{"why":1}')
    assert one.ending, "nothing stops it any more"


@pytest.mark.parametrize(("stream", "body"), [(False, '{"a":1}'), (True, None)])
async def test_a_whole_answer_travels_with_its_end_a_streamed_one_has_gone_before(
    stream: bool, body: str | None
) -> None:
    world = World()

    await world.outcomes.complete(run(stream=stream), ANSWER)

    assert world.outbox.end["body"] == body


async def test_a_fallback_model_is_named() -> None:
    world = World()

    await world.outcomes.complete(run(model="other"), ANSWER)

    assert world.outbox.end["model"] == "other"


@pytest.mark.parametrize(
    ("source", "told"), [(Source.OPENAI, []), (Source.MESSAGE, [Status.COMPLETED])]
)
async def test_the_app_above_is_told_of_its_own_jobs(source: Source, told: list[Status]) -> None:
    world = World()

    await world.outcomes.complete(run(source=source), ANSWER)

    assert world.told == told
    assert [event for _, event, _ in world.outbox.entries] == [FINAL]


@pytest.mark.parametrize("end", [CANCELLED, OUT_OF_TIME, CRASHED])
async def test_an_end_without_an_answer_is_stored_and_told(end: End) -> None:
    world = World()

    await world.outcomes.end(run(source=Source.MESSAGE), end)

    (finish,) = world.claims.finished
    assert (finish.status, finish.outcome, finish.error_code) == (end.status, end.outcome, end.code)
    assert world.told == [end.status]
    assert (world.outbox.end["status"], world.outbox.end["message"]) == (end.status, end.message)


async def test_where_the_lease_was_lost_nobody_is_told() -> None:
    world = World()
    world.claims.ours = False

    await world.outcomes.complete(run(source=Source.MESSAGE), ANSWER)
    await world.outcomes.end(run(source=Source.MESSAGE), CRASHED)

    assert len(world.claims.finished) == 2
    assert (world.told, world.outbox.entries) == ([], [])


async def test_a_refusal_travels_as_the_endpoint_wrote_it() -> None:
    world = World()
    refusal = Refused("refused", "bad field", status=422, body=orjson.dumps({"e": 1}).decode())

    await world.outcomes.end(run(), End.failed(refusal))

    assert (world.outbox.end["http_status"], world.outbox.end["upstream"]) == (422, '{"e":1}')


async def test_a_failure_of_the_endpoint_is_not_passed_on() -> None:
    world = World()

    await world.outcomes.end(run(), End.failed(Unavailable("http_503", "secret", status=503)))

    (finish,) = world.claims.finished
    assert finish.detail == "secret", "for operators"
    assert (world.outbox.end["http_status"], world.outbox.end["upstream"]) == (0, "")
    assert "secret" not in world.outbox.end["message"]


async def test_what_had_begun_to_answer_is_charged() -> None:
    world, one = World(), run(body="x" * 40)
    one.pieces = 6

    await world.outcomes.end(one, CANCELLED)

    (finish,) = world.claims.finished
    assert (finish.spent_prompt, finish.spent_completion, finish.spent_estimated) == (10, 6, True)


@pytest.mark.parametrize(("end", "letters"), [(CRASHED, 1), (OUT_OF_TIME, 0), (CANCELLED, 0)])
async def test_a_dead_letter_stands_in_the_log(end: End, letters: int) -> None:
    with capture_logs() as logs:
        await World().outcomes.end(run(), end)

    assert [entry["event"] for entry in logs].count("job.failed") == letters
