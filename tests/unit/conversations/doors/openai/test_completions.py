"""What a client of the two streaming doors reads, entry by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import orjson
import pytest

from conversations.doors.lean import events
from conversations.doors.lean.door import Door
from conversations.doors.openai.completions import _Reply
from conversations.doors.openai.request import parse
from conversations.streams.listener import START, Entry, Mark, Waiter
from scheduling.models import Status
from scheduling.outbox import DELTA, FINAL, RESET, STARTED, USAGE
from scheduling.specs import Receipt
from scheduling.waiting.outlook import Outlook
from tests.hot_path import spec

CHUNK = '{"choices":[{"index":0,"delta":{"content":"hi"}}]}'


class StubDoor:
    """A door whose listener says what the test wants."""

    def __init__(self, *batches: list[Entry]) -> None:
        self.batches = batches
        self.cancelled: list[UUID] = []
        self.config = SimpleNamespace(web=SimpleNamespace(comment_seconds=1.0))
        self.listener = self.intake = self

    async def entries(self, waiter: Waiter, *, tick_seconds: float) -> AsyncIterator[list[Entry]]:
        for batch in self.batches:
            yield batch

    def outlook(self, level: object, model: str, fair_tag: float) -> Outlook:
        return Outlook(3, 4.25)

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


def started(attempt: int = 1) -> Entry:
    return Entry(attempt, 1, STARTED, '{"queue_ms":7,"endpoint":"one"}')


def delta(seq: int, attempt: int = 1) -> Entry:
    return Entry(attempt, seq, DELTA, CHUNK)


def final(seq: int = 9, attempt: int = 1, **fields: Any) -> Entry:
    end = {"status": "completed", "queue_ms": 7, "endpoint": "one", "body": None, **fields}
    return Entry(attempt, seq, FINAL, orjson.dumps(end).decode())


def failed(code: str = "broken") -> Entry:
    return final(status="failed", code=code, message="it broke")


async def answer(*batches: list[Entry], **fields: Any) -> tuple[Response, StubDoor]:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    request = parse(orjson.dumps(body), "chat")
    door, response, job = StubDoor(*batches), Response(), spec(1, request_id="r1")
    receipt = Receipt(job.id, Status.QUEUED, "", 0.0)
    reply = _Reply(cast(Door, door), request, job, receipt, Waiter(job.id), response.send)
    await (reply.stream() if request.stream else reply.whole())
    return response, door


class TestWhole:
    async def test_the_answer_with_its_headers(self) -> None:
        response, _ = await answer([], [final(body='{"a":1}')])

        assert (response.status, response.json) == (200, {"a": 1})
        assert response.headers["x-request-id"] == "r1"
        assert response.headers["x-llmqueue-queue-ms"] == "7"
        assert response.headers["x-llmqueue-endpoint"] == "one"
        assert response.headers["x-llmqueue-priority"] == "normal"
        assert response.ended

    async def test_a_failure_is_an_error_object(self) -> None:
        response, _ = await answer([failed("http_503")])

        assert (response.status, response.json["error"]["code"]) == (502, "http_503")
        assert response.headers["x-should-retry"] == "false"


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
        response, door = await answer([started(), delta(2)], further, stream=True)

        assert response.lines[0] == f"data: {CHUNK}"
        assert orjson.loads(response.lines[-1][6:])["error"]["code"] == "attempt_lost"
        assert len(response.lines) == 2
        assert len(door.cancelled) == 1
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


class TestMessageEvents:
    def told(self, *entries: Entry, after: Mark = START) -> list[tuple[str, str]]:
        """Event names and identifiers."""
        rendered = events._Telling(after).render(list(entries)).decode()
        found = []
        for block in filter(None, rendered.split("\n\n")):
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            assert orjson.loads(fields["data"]) is not None
            found.append((fields["event"], fields["id"]))
        return found

    def test_the_life_of_a_message(self) -> None:
        assert self.told(started(), delta(2), delta(3), final(4)) == [
            ("started", "1.1"),
            ("delta", "1.2"),
            ("delta", "1.3"),
            ("completed", "1.4"),
        ]

    def test_a_chunk_without_text_is_no_event(self) -> None:
        silent = [
            Entry(1, seq, DELTA, data)
            for seq, data in enumerate(
                (
                    '{"choices":[]}',
                    '{"choices":[{"delta":{}}]}',
                    '{"choices":[{"delta":{"content":null}}]}',
                )
            )
        ]

        assert self.told(*silent) == []

    def test_a_further_attempt_starts_over_after_a_reset(self) -> None:
        reset = Entry(1, 3, RESET, "{}")

        names = [name for name, _ in self.told(started(), delta(2), reset, started(2), delta(2, 2))]

        assert names == ["started", "delta", "reset", "started", "delta"]

    def test_so_does_one_whose_worker_was_lost(self) -> None:
        names = [name for name, _ in self.told(started(), delta(2), started(2), delta(2, 2))]

        assert names == ["started", "delta", "reset", "started", "delta"]

    def test_a_client_that_resumes_in_an_earlier_attempt_starts_over(self) -> None:
        assert self.told(started(2), delta(2, 2), after=(1, 5))[0][0] == "reset"
        assert self.told(delta(6), after=(1, 5)) == [("delta", "1.6")]

    def test_a_failure_is_an_error(self) -> None:
        assert self.told(started(), failed()) == [("started", "1.1"), ("error", "1.9")]

    def test_the_stored_text_stands_in_for_an_expired_stream(self) -> None:
        assert self.told(final(text="all of it")) == [("delta", "1.9"), ("completed", "1.9")]
        assert self.told(final(text="all"), after=(1, 2))[0][0] == "reset"
        assert self.told(delta(2), final(text="all of it"))[-1] == ("completed", "1.9")

    @pytest.mark.parametrize(
        ("value", "mark"),
        [
            ("1.2", (1, 2)),
            ("", START),
            ("1", START),
            ("a.b", START),
            ("-1.2", START),
            ("1." + "9" * 40, START),
            ("1.2.3", START),
        ],
    )
    def test_where_a_client_resumes(self, value: str, mark: Mark) -> None:
        assert events._resume_mark(value) == mark

    @pytest.mark.parametrize("value", ["².1", "1.²", "1." + "9" * 27, "9" * 27 + ".1"])
    def test_what_valkey_would_not_take_is_no_mark(self, value: str) -> None:
        assert events._resume_mark(value) == START
