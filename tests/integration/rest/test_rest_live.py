"""Conversations through real web and worker processes: the receiver, the turns, cancellation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.stack import Stack, running_stack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Stack]:
    with (
        running_fake_llm(tokens=3, tokens_per_second=100) as llm,
        running_stack(
            services, environment={"LLM_BASE_URL": llm.base_url, "LLM_MODEL": "fake-model"}
        ) as running,
    ):
        yield running


def data(stack: Stack, method: str, path: str, body: Any = None) -> Any:
    answer = stack.call(method, f"/api/v1{path}", body)
    assert answer.status < 300, answer.raw
    return answer.body["data"]


def test_turns_are_answered_in_order(stack: Stack) -> None:
    conversation = data(stack, "POST", "/conversations", {"user_id": "u1", "context": "Be brief."})[
        "id"
    ]
    address = f"/conversations/{conversation}/messages"
    sent = [
        data(stack, "POST", address, {"content": f"turn {number} [[echo]]"}) for number in range(4)
    ]

    eventually(stack.all_ended, what="every turn")
    eventually(
        lambda: data(stack, "GET", f"/conversations/{conversation}")["message_count"] == 8,
        what="every answer recorded",
    )

    history = data(stack, "GET", address)["items"]
    answers = [message["content"] for message in history if message["role"] == "assistant"]
    assert [answer.strip() for answer in answers] == [f"turn {number}" for number in range(4)]
    [[body]] = stack.rows(
        "select body from scheduling_jobpayload where job_id = %s",
        sent[3]["id"].removeprefix("msg_"),
    )
    roles = [message["role"] for message in orjson.loads(body)["messages"]]
    assert roles == ["system", *["user", "assistant"] * 3, "user"]


def test_a_running_message_is_cancelled_within_seconds(stack: Stack) -> None:
    body = {"user_id": "u1", "content": "[[tokens=2000 tps=20]]"}
    identifier = data(stack, "POST", "/messages", body)["id"]

    def status() -> str:
        return str(data(stack, "GET", f"/messages/{identifier}")["status"])

    eventually(lambda: status() == "processing", what="the call")
    assert stack.call("POST", f"/api/v1/messages/{identifier}/cancel").status == 202
    eventually(lambda: status() == "cancelled", seconds=3, what="the cancellation")


def test_a_batch_is_answered(stack: Stack) -> None:
    items = [{"user_id": f"u{n % 5}", "content": f"number {n} [[tokens=1]]"} for n in range(100)]

    receipt = data(stack, "POST", "/messages/batch", {"messages": items})

    eventually(stack.all_ended, seconds=30, what="the batch")
    last = receipt["messages"][-1]["id"]
    eventually(lambda: data(stack, "GET", f"/messages/{last}")["answer"], what="the answer")


def test_flower_is_only_for_operators(stack: Stack) -> None:
    answer = stack.call("GET", "/flower/")

    assert answer.status == 200
    assert b"login" in answer.raw
