"""What a client of a message's event stream reads, entry by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from conversations.doors.rest import events
from conversations.streams.waiter import START, Entry, Mark, Waiter
from scheduling.job_state import JobState
from scheduling.models import Priority, Status
from scheduling.outbox import DELTA, RESET
from scheduling.waiting.outlook import Outlook
from tests.unit.conversations.streams.entries import delta, failed, final, started


def told(*entries: Entry, after: Mark = START) -> list[tuple[str, str]]:
    """Event names and identifiers."""
    rendered = events.Events(after).render(list(entries)).decode()
    found = []
    for block in filter(None, rendered.split("\n\n")):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert orjson.loads(fields["data"]) is not None
        found.append((fields["event"], fields["id"]))
    return found


def test_the_life_of_a_message() -> None:
    assert told(started(), delta(2), delta(3), final(4)) == [
        ("started", "1.1"),
        ("delta", "1.2"),
        ("delta", "1.3"),
        ("completed", "1.4"),
    ]


def test_a_chunk_without_text_is_no_event() -> None:
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

    assert told(*silent) == []


def test_a_further_attempt_starts_over_after_a_reset() -> None:
    reset = Entry(1, 3, RESET, "{}")

    names = [name for name, _ in told(started(), delta(2), reset, started(2), delta(2, 2))]

    assert names == ["started", "delta", "reset", "started", "delta"]


def test_so_does_one_whose_worker_was_lost() -> None:
    names = [name for name, _ in told(started(), delta(2), started(2), delta(2, 2))]

    assert names == ["started", "delta", "reset", "started", "delta"]


def test_an_attempt_that_said_nothing_needs_no_reset() -> None:
    assert told(started(), started(2), delta(2, 2)) == [
        ("started", "1.1"),
        ("started", "2.1"),
        ("delta", "2.2"),
    ]
    assert told(started(2), delta(2, 2), after=(1, 1))[0] == ("started", "2.1")


def test_the_stored_text_stands_in_for_an_attempt_that_was_lost() -> None:
    names = [name for name, _ in told(started(), delta(2), started(2), final(text="all of it"))]

    assert names == ["started", "delta", "reset", "started", "delta", "completed"]


def test_a_client_that_resumes_in_an_earlier_attempt_starts_over() -> None:
    assert told(started(2), delta(2, 2), after=(1, 5))[0][0] == "reset"
    assert told(delta(6), after=(1, 5)) == [("delta", "1.6")]


def test_a_failure_is_an_error() -> None:
    assert told(started(), failed()) == [("started", "1.1"), ("error", "1.9")]


def test_the_stored_text_stands_in_for_an_expired_stream() -> None:
    assert told(final(text="all of it")) == [("delta", "1.9"), ("completed", "1.9")]
    assert told(final(text="all"), after=(1, 2))[0][0] == "reset"
    assert told(delta(2), final(text="all of it"))[-1] == ("completed", "1.9")


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
def test_where_a_client_resumes(value: str, mark: Mark) -> None:
    assert events._resume_mark(value) == mark


@pytest.mark.parametrize("value", ["².1", "1.²", "1." + "9" * 27, "9" * 27 + ".1"])
def test_what_valkey_would_not_take_is_no_mark(value: str) -> None:
    assert events._resume_mark(value) == START


class StubBackend:
    """A job that is held for some ticks, and then queued."""

    def __init__(self, *batches: list[Entry]) -> None:
        self.batches = batches
        self.looked = 0

    async def entries(self, _waiter: Waiter) -> AsyncIterator[list[Entry]]:
        for batch in self.batches:
            yield batch

    async def state(self, job_id: UUID) -> JobState:
        self.looked += 1
        return JobState(job_id, Status.QUEUED, "", Priority.NORMAL, "m", 1.0)

    def outlook(self, level: Priority, model: str, fair_tag: float, job_id: UUID) -> Outlook:
        return Outlook(2, 1.5)


class Written:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    async def write(self, body: bytes, *, more: bool = True) -> None:
        for line in body.decode().splitlines():
            if line.startswith("data: "):
                self.events.append(orjson.loads(line[6:]))


async def test_what_is_held_says_why_and_claims_nothing_until_it_may_run() -> None:
    backend, written = StubBackend(*([[]] * events.HELD_TICKS)), Written()
    held = JobState(UUID(int=1), Status.HELD, "backoff", Priority.NORMAL, "m", 1.0)

    await events._follow(backend, written, Waiter(held.id), held)  # type: ignore[arg-type]

    silent = {"priority": "normal", "position": None, "eta": None, "held": "backoff"}
    assert written.events[:-1] == [silent] * events.HELD_TICKS
    assert written.events[-1] == {"priority": "normal", "position": 2, "eta": 1.5}
    assert backend.looked == 1
