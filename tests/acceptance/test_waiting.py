"""What a waiting client is told of its place and its wait, beside what is so (issue's kind 10)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import RunningFakeLLM, running_fake_llm
from tests.stack import Stack, running_stack

SLOTS, BEHIND = 4, 5
# Web processes have looked at the queue again by then.
LOOK_SECONDS = 1.5
TOKENS, TOKENS_PER_SECOND = 10, 10.0


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningFakeLLM]:
    with running_fake_llm(tokens=TOKENS) as llm:
        yield llm


@pytest.fixture(scope="module")
def stack(services: Services, fake: RunningFakeLLM) -> Iterator[Stack]:
    with running_stack(services) as running:
        running.register("fake", fake.base_url, max_concurrent=SLOTS)
        yield running


def send(stack: Stack, user: int, **fields: Any) -> dict[str, Any]:
    """A message of a user of its own: all of them have the same fair tag."""
    draft = {"user_id": f"user-{user}", "content": "how long?", **fields}
    answer = stack.call("POST", "/api/v1/messages", draft)
    assert answer.status == 201, answer.body
    return dict(answer.body["data"])


def seen(stack: Stack, message: dict[str, Any]) -> dict[str, Any]:
    return dict(stack.call("GET", f"/api/v1/messages/{message['id']}").body["data"])


def fill(stack: Stack, fake: RunningFakeLLM) -> None:
    """All slots are busy, and the web process knows it."""
    fake.hold()
    for user in range(SLOTS):
        send(stack, user)
    eventually(lambda: fake.stats()["running"] == SLOTS, what="all slots busy")
    time.sleep(LOOK_SECONDS)


def test_five_behind_four_busy_slots_are_told_the_truth(stack: Stack, fake: RunningFakeLLM) -> None:
    fill(stack, fake)
    cold = send(stack, 10)
    assert (cold["position"], cold["estimated_wait"]) == (1, None), (
        "nothing has ended yet: no claim"
    )
    fake.release(TOKENS_PER_SECOND)
    eventually(stack.all_ended)
    assert (seen(stack, cold)["position"], seen(stack, cold)["estimated_wait"]) == (0, 0.0)

    fill(stack, fake)
    told = [send(stack, 20 + number) for number in range(BEHIND)]

    assert [each["position"] for each in told] == [1, 2, 3, 4, 5]
    waits = [each["estimated_wait"] for each in told]
    assert all(wait > 0 for wait in waits)
    assert waits[-1] >= 1.5 * waits[0], "four free together, and the fifth is behind a whole job"
    time.sleep(LOOK_SECONDS)
    later = [seen(stack, each)["position"] for each in told]
    assert later == [1, 2, 3, 4, 5], "a position does not fall by waiting"

    tomorrow = datetime.now(UTC) + timedelta(days=1)
    due = send(stack, 30, scheduled_at=tomorrow.isoformat())
    for held in (due, seen(stack, due)):
        assert (held["position"], held["estimated_wait"]) == (None, None)
        assert held["held_reason"] == "due"
    status = eventually(lambda: _status(stack, held=1), seconds=5)
    assert (status["size"], status["held"], status["processing"]) == (BEHIND, 1, SLOTS)

    stack.call("POST", f"/api/v1/messages/{due['id']}/cancel")
    fake.release(TOKENS_PER_SECOND)
    eventually(stack.all_ended)


def _status(stack: Stack, *, held: int) -> dict[str, Any] | None:
    """The state of the queues once so many are held; the figures are a second old at most."""
    found = dict(stack.call("GET", "/api/v1/queues/status").body["data"])
    return found if found["held"] == held else None
