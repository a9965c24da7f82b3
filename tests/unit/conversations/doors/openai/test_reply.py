"""What a client of `/v1` reads, entry by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from conversations.doors.lean.wire import Exchange
from conversations.doors.openai.errors import OpenAIErrors
from conversations.doors.openai.reply import HELD_TICKS, Reply, Submitted
from conversations.doors.openai.request import parse
from conversations.streams.waiter import Entry, Waiter
from scheduling.job_state import JobState
from scheduling.models import Api, Priority, Status
from scheduling.outbox import RESET, USAGE
from scheduling.specs import Receipt
from scheduling.waiting.outlook import Outlook
from tests.hot_path import spec
from tests.unit.conversations.streams.entries import CHUNK, delta, failed, final, started


class StubJobs:
    """One job that says what the test wants."""

    def __init__(self, *batches: list[Entry]) -> None:
        self.batches = batches
        self.cancelled: list[UUID] = []
        self.known_state: JobState | None = None

    async def entries(self, waiter: Waiter) -> AsyncIterator[list[Entry]]:
        for batch in self.batches:
            yield batch

    def outlook(self, level: object, model: str, fair_tag: float, job_id: UUID) -> Outlook:
        return Outlook(3, 4.25)

    async def stored_body(self, job_id: UUID) -> bytes:
        return b'{"large":1}'

    async def state(self, job_id: UUID) -> JobState | None:
        return self.known_state

    async def cancel(self, job_id: UUID) -> None:
        self.cancelled.append(job_id)


class Response:
    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.ended = False

    async def send(self, message: MutableMapping[str, Any]) -> None:
        assert not self.ended, "an answer ends once"
        if message["type"] == "http.response.start":
            assert not self.status, "an answer starts once"
            self.status = message["status"]
            self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
        else:
            assert self.status
            self.body += message["body"]
            self.ended = not message["more_body"]

    @property
    def lines(self) -> list[str]:
        return [line for line in self.body.decode().split("\n") if line]

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


async def never() -> MutableMapping[str, Any]:
    raise AssertionError("a reply reads nothing of the request")


async def answer(
    *batches: list[Entry],
    early_headers_seconds: float = 0.0,
    seconds_left: float = 60.0,
    held: str = "",
    state: JobState | None = None,
    **fields: Any,
) -> tuple[Response, StubJobs]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    request = parse(orjson.dumps(body), Api.CHAT)
    deadline = datetime.now(UTC) + timedelta(seconds=seconds_left)
    job = spec(1, request_id="r1", deadline_at=deadline)
    jobs, response = StubJobs(*batches), Response()
    jobs.known_state = state
    receipt = Receipt(job.id, Status.HELD if held else Status.QUEUED, held, 0.0)
    exchange = Exchange({}, never, response.send, errors=OpenAIErrors())
    submitted = Submitted(request, job, receipt, Waiter(job.id), early_headers_seconds)
    reply = Reply(jobs, exchange, submitted)
    await (reply.stream() if request.stream else reply.whole())
    return response, jobs


class TestWhole:
    async def test_the_answer_with_its_headers(self) -> None:
        response, _ = await answer([], [final(body='{"a":1}')])

        assert (response.status, response.json) == (200, {"a": 1})
        assert response.headers["x-request-id"] == "r1"
        assert response.headers["x-llmqueue-queue-ms"] == "7"
        assert response.headers["x-llmqueue-endpoint"] == "one"
        assert response.headers["x-llmqueue-priority"] == "normal"
        assert response.ended

    async def test_a_large_answer_is_read_where_it_is_stored(self) -> None:
        """X6"""
        response, _ = await answer([final(body=None)])

        assert (response.status, response.json) == (200, {"large": 1})

    async def test_a_failure_is_an_error_object(self) -> None:
        response, _ = await answer([failed("http_503")])

        assert (response.status, response.json["error"]["code"]) == (502, "http_503")
        assert "x-should-retry" not in response.headers, "another try may succeed"
        assert response.headers["retry-after"] == "2"


class TestDeadline:
    """Without any worker nobody ends a job, and its client is told all the same."""

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_door_tells_that_the_time_is_up(self, stream: bool) -> None:
        late = [started(), delta(2), final()]

        response, jobs = await answer([], late, seconds_left=-5.1, stream=stream)

        assert (response.status, response.json["error"]["code"]) == (408, "timeout")
        assert response.headers["x-should-retry"] == "false"
        assert response.ended
        assert jobs.cancelled == [], "its deadline ends it, whenever a worker comes"

    async def test_a_stream_that_has_begun_ends_with_an_event(self) -> None:
        response, _ = await answer([started(), delta(2)], [], seconds_left=-5.1, stream=True)

        assert orjson.loads(response.lines[-1][6:])["error"]["code"] == "timeout"
        assert response.ended

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_worker_has_a_moment_to_tell(self, stream: bool) -> None:
        end = final(status="timeout", code="queue_timeout", message="it waited")

        response, _ = await answer([], [end], seconds_left=-1, stream=stream)

        assert "queue_timeout" in response.body.decode()


class TestEarlyHeaders:
    """A23: something comes before proxies and Node's fetch give up."""

    async def test_white_space_then_the_answer(self) -> None:
        response, _ = await answer([], [], [], [final(body='{"a":1}')], early_headers_seconds=1e-9)

        assert (response.status, response.body) == (200, b"   " + b'{"a":1}')
        assert response.json == {"a": 1}
        assert response.headers["content-type"] == "application/json"
        assert "content-length" not in response.headers
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["x-llmqueue-position"] == "3"
        assert response.ended

    async def test_an_answer_in_time_is_as_ever(self) -> None:
        response, _ = await answer([], [final(body='{"a":1}')], early_headers_seconds=50)

        assert response.body == b'{"a":1}'
        assert response.headers["content-length"] == "7"

    async def test_a_failure_after_them_is_an_error_object(self) -> None:
        response, _ = await answer([], [failed("http_503")], early_headers_seconds=1e-9)

        assert response.status == 200
        assert response.json["error"]["code"] == "http_503"
        assert response.ended

    async def test_a_failure_before_them_keeps_its_status(self) -> None:
        response, _ = await answer([], [failed("http_503")], early_headers_seconds=50)

        assert response.status == 502


class TestStream:
    async def test_chunks_as_they_are_then_done(self) -> None:
        response, _ = await answer([started(), delta(2)], [delta(3)], [final()], stream=True)

        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert response.headers["x-llmqueue-endpoint"] == "one"
        assert response.lines == [
            f"data: {CHUNK}",
            f"data: {CHUNK}",
            "data: [DONE]",
            ": queue_ms=7 endpoint=one",
        ]
        assert response.ended

    async def test_who_waits_is_told_where_it_stands(self) -> None:
        response, _ = await answer([], [started()], [], [delta(2), final()], stream=True)

        assert response.lines[:2] == [": queued position=3 eta=4.2s", ": processing"]

    async def test_what_is_held_says_why_and_claims_nothing_until_it_may_run(self) -> None:
        state = JobState(UUID(int=1), Status.QUEUED, "", Priority.NORMAL, "m", 0.0)
        ticks: list[list[Entry]] = [[]] * HELD_TICKS
        response, _ = await answer(*ticks, [final()], held="paused", state=state, stream=True)

        assert "x-llmqueue-position" not in response.headers
        assert response.lines[: HELD_TICKS - 1] == [": held reason=paused"] * (HELD_TICKS - 1)
        assert response.lines[HELD_TICKS - 1] == ": queued position=3 eta=4.2s"

    @pytest.mark.parametrize(("asked", "count"), [(True, 1), (False, 0)])
    async def test_usage_goes_to_whom_asked_for_it(self, asked: bool, count: int) -> None:
        usage = Entry(1, 3, USAGE, '{"choices":[],"usage":{}}')

        response, _ = await answer(
            [delta(2), usage, final()], stream=True, stream_options={"include_usage": asked}
        )

        assert sum('"usage"' in line for line in response.lines) == count

    async def test_a_failure_before_the_first_word_is_a_status(self) -> None:
        response, _ = await answer([started(), failed()], stream=True)

        assert (response.status, response.json["error"]["code"]) == (502, "broken")
        assert response.headers["content-type"] == "application/json"

    async def test_after_it_an_error_event_ends_the_stream_without_done(self) -> None:
        response, _ = await answer([started(), delta(2)], [failed()], stream=True)

        assert response.status == 200
        assert orjson.loads(response.lines[-1][6:])["error"]["code"] == "broken"
        assert "data: [DONE]" not in response.lines
        assert response.ended

    @pytest.mark.parametrize(
        "further",
        [
            [started(2), delta(2, 2), final(attempt=2)],
            [delta(2, 2)],
            [Entry(2, 1, RESET, "{}")],
        ],
    )
    async def test_two_attempts_are_never_one_answer(self, further: list[Entry]) -> None:
        response, jobs = await answer([started(), delta(2)], further, stream=True)

        assert response.lines[0] == f"data: {CHUNK}"
        assert orjson.loads(response.lines[-1][6:])["error"]["code"] == "attempt_lost"
        assert len(response.lines) == 2
        assert len(jobs.cancelled) == 1
        assert response.ended

    async def test_even_within_one_batch(self) -> None:
        batch = [started(), delta(2), started(2), delta(2, 2), final(attempt=2)]

        response, _ = await answer(batch, stream=True)

        assert "data: [DONE]" not in response.lines
        assert b"attempt_lost" in response.body

    async def test_a_silent_attempt_may_be_followed_by_another(self) -> None:
        response, _ = await answer(
            [started()], [started(2), delta(2, 2)], [final(attempt=2)], stream=True
        )

        assert response.lines[:2] == [f"data: {CHUNK}", "data: [DONE]"]
