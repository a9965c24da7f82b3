"""A request that nobody wants any more ends, waiting or running, and its slot is free again."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from tests.client import KEY
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.stack import Stack, running_stack


@pytest.fixture(scope="module")
def fake() -> Iterator[Any]:
    with running_fake_llm(tokens=400, tokens_per_second=10) as llm:
        yield llm


@pytest.fixture(scope="module")
def stack(services: Services, fake: Any) -> Iterator[Stack]:
    with running_stack(services) as running:
        running.register("fake", fake.base_url, max_concurrent=1)
        yield running


def open_request(stack: Stack, content: str, **fields: Any) -> socket.socket:
    """A request on a socket of its own, that can be closed under the server's feet."""
    body = {"model": "fake-model", "messages": [{"role": "user", "content": content}], **fields}
    raw = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    connection = socket.create_connection(("127.0.0.1", stack.ports[0]))
    connection.sendall(head.encode() + raw)
    return connection


def status_of(stack: Stack, content: str) -> str:
    rows = stack.rows(
        "select j.status from scheduling_job j join scheduling_jobpayload p on p.job_id = j.id"
        " where p.body like %s",
        f"%{content}%",
    )
    return str(rows[0][0]) if rows else ""


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_ends_its_running_call(
    stack: Stack, fake: Any, stream: bool
) -> None:
    content = f"running-{stream}"
    cancelled = fake.stats()["cancelled"]
    connection = open_request(stack, content, stream=stream)
    eventually(lambda: fake.stats()["running"] == 1)

    connection.close()
    began = time.monotonic()

    eventually(lambda: fake.stats()["cancelled"] == cancelled + 1, seconds=5)
    assert time.monotonic() - began < 2
    eventually(lambda: status_of(stack, content) == "cancelled", seconds=5)
    assert fake.stats()["running"] == 0


def test_a_client_that_hangs_up_while_waiting_is_never_served(stack: Stack, fake: Any) -> None:
    first = open_request(stack, "in-the-way", stream=True)
    eventually(lambda: fake.stats()["running"] == 1)
    second = open_request(stack, "gives-up", stream=True)
    eventually(lambda: status_of(stack, "gives-up") == "queued")

    second.close()
    eventually(lambda: status_of(stack, "gives-up") == "cancelled", seconds=5)
    first.close()

    eventually(lambda: fake.stats()["running"] == 0, seconds=5)
    assert "gives-up" not in json.dumps(fake.stats()["by_prompt"])


def test_a_running_message_is_cancelled_within_a_second(stack: Stack, fake: Any) -> None:
    sent = stack.call("POST", "/api/v1/messages", {"user_id": "u", "content": "too long"})
    identifier = sent.body["data"]["id"]
    eventually(lambda: fake.stats()["running"] == 1)

    answer = stack.call("POST", f"/api/v1/messages/{identifier}/cancel")
    began = time.monotonic()

    assert answer.status in (200, 202)
    eventually(lambda: fake.stats()["running"] == 0, seconds=3)
    assert time.monotonic() - began < 1
    eventually(
        lambda: (
            stack.call("GET", f"/api/v1/messages/{identifier}").body["data"]["status"]
            == "cancelled"
        ),
        seconds=3,
    )


def test_a_later_realtime_request_passes_waiting_low_ones(stack: Stack, fake: Any) -> None:
    def ask(content: str, priority: str) -> float:
        answer = stack.chat(f"{content} [[tokens=3 tps=10]]", headers={"X-Priority": priority})
        assert answer.status == 200
        return time.monotonic()

    first = open_request(stack, "keeps them waiting", stream=True)
    eventually(lambda: fake.stats()["running"] == 1)
    with ThreadPoolExecutor(8) as pool:
        low = [pool.submit(ask, f"low {n}", "low") for n in range(6)]
        eventually(lambda: stack.jobs().get("queued", 0) == 6)
        realtime = pool.submit(ask, "realtime", "realtime")
        eventually(lambda: stack.jobs().get("queued", 0) == 7)
        first.close()
        ended = sorted(future.result() for future in low)

    assert sum(at > realtime.result() for at in ended) >= 3


def test_the_position_is_told_while_waiting(stack: Stack, fake: Any) -> None:
    first = open_request(stack, "holds the slot", stream=True)
    eventually(lambda: fake.stats()["running"] == 1)
    second = open_request(stack, "is told", stream=True)
    second.settimeout(5)

    # Where nothing has run before, the first look counts the request that has just started, too.
    heard = b""
    while b": queued position=1" not in heard:
        heard += second.recv(65536)

    assert b"position=3" not in heard
    for connection in (first, second):
        connection.close()
    eventually(stack.all_ended, seconds=5)
