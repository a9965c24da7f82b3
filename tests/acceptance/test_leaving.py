"""A planned stop of web (F3): who is told when, what goes on, and what is cut with a word."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from llmqueue_project.embedded.services import Services
from tests.client import KEY, Answer
from tests.eventually import eventually
from tests.fake_llm import RunningFakeLLM, running_fake_llm
from tests.stack import Stack, running_stack

ACCEPT_SECONDS, GRACE_SECONDS = 1.2, 1.5
SETTINGS = {
    "LLMQUEUE_WEB__SHUTDOWN_ACCEPT_SECONDS": str(ACCEPT_SECONDS),
    "LLMQUEUE_WEB__SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
}
# Longer than web stays; and short enough to end within its time.
LONG, SHORT = "[[tokens=60 tps=10]]", "[[tokens=10 tps=10]]"


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Stack]:
    with running_stack(services, gear="direct", webs=2, environment=SETTINGS) as running:
        yield running


@pytest.fixture
def fake(stack: Stack) -> Iterator[RunningFakeLLM]:
    with running_fake_llm() as endpoint:
        stack.register("fake", endpoint.base_url, max_concurrent=12)
        yield endpoint


def test_sigterm_of_web(stack: Stack, fake: RunningFakeLLM) -> None:
    """F3"""
    body = {"user_id": "u", "content": f"message {LONG}"}
    message = stack.call("POST", "/api/v1/messages", body).body["data"]["id"]
    events = f"/api/v1/messages/{message}/events"
    with ThreadPoolExecutor(8) as pool:
        asked: dict[str, Future[Answer]] = {
            "stream": pool.submit(stack.chat, f"stream {LONG}", stream=True),
            "whole": pool.submit(stack.chat, f"whole {LONG}"),
            "events": pool.submit(stack.call, "GET", events),
        }
        eventually(lambda: fake.stats()["running"] == 3)
        time.sleep(0.5)

        stack.web_processes[0].terminate()
        eventually(lambda: _ready(stack).status == 503, seconds=1, what="not ready, and says so")
        ready = _ready(stack)
        asked["late"] = pool.submit(stack.chat, f"late {SHORT}", stream=True)
        answers = {name: future.result() for name, future in asked.items()}
    assert stack.web_processes[0].wait(5) == 0

    assert ready.body == {"status": "shutting_down"}
    assert ready.headers["connection"] == "close", "the next request is to go elsewhere"
    assert answers["late"].raw.count(b"[DONE]") == 1, "taken after SIGTERM, and answered"
    cut = json.loads(_data(answers["stream"])[-1])["error"]
    assert (cut["code"], cut["type"]) == ("shutting_down", "server_error")
    assert len(_data(answers["stream"])) > 10, "it went on for a while"
    whole = answers["whole"]
    assert (whole.status, whole.body["error"]["code"]) == (503, "shutting_down")
    assert whole.headers["retry-after"] == "1"
    assert "x-should-retry" not in whole.headers
    assert b"event: error" in answers["events"].raw
    envelope = json.loads(_data(answers["events"])[-1])
    assert (envelope["code"], envelope["error"]) == (2007, "shutting_down")
    assert "Last-Event-ID" in envelope["details"]["reason"]

    eventually(stack.all_ended, what="the message goes on")
    assert stack.jobs() == {"cancelled": 2, "completed": 2}, "two that nobody can come back for"
    assert set(fake.stats()["by_prompt"].values()) == {1}, "no call twice"
    _resumes(stack, events, answers["events"])


def _resumes(stack: Stack, path: str, cut: Answer) -> None:
    """The client of a message comes back, and has its text once."""
    stack.restart_web()
    last = [line[4:] for line in cut.raw.decode().split("\n") if line.startswith("id: ")][-1]
    rest = stack.call("GET", path, last_event_id=last)
    got = "".join(map(_content, (*_data(cut), *_data(rest))))
    ((text,),) = stack.rows(
        "select r.text from scheduling_jobresult r join scheduling_job j on j.id = r.job_id"
        " where j.source = 'message'"
    )
    assert got == text


def _ready(stack: Stack) -> Answer:
    return stack.call("GET", "/health/ready", key=None)


def _data(answer: Answer) -> list[str]:
    lines = answer.raw.decode().split("\n")
    return [line[6:] for line in lines if line.startswith("data: ")]


def _content(data: str) -> str:
    return str(json.loads(data).get("content", ""))


class Balanced:
    """Clients with kept connections behind a balancer that asks each web process if it is ready."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stopping = threading.Event()
        self.ready = [*stack.ports]
        self.answered = 0
        self.failures: list[str] = []

    def watch(self) -> None:
        while not self._stopping.wait(0.2):
            self.ready = [port for port in self._stack.ports if self._stack.answers(port)]

    def ask(self, client: int) -> None:
        kept: dict[int, http.client.HTTPConnection] = {}
        turn = 0
        while not self._stopping.is_set():
            turn += 1
            port = random.choice(self.ready)
            kept = {known: kept[known] for known in kept if known in self.ready}
            connection = kept.setdefault(port, http.client.HTTPConnection("127.0.0.1", port))
            try:
                self._one(connection, f"c{client} t{turn} [[tokens=4 tps=20]]")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{port}: {error!r}")

    def _one(self, connection: http.client.HTTPConnection, content: str) -> None:
        messages = [{"role": "user", "content": content}]
        body = {"model": "fake-model", "messages": messages, "stream": True}
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        raw = connection.getresponse().read()
        self.answered += 1
        if b"[DONE]" not in raw:
            self.failures.append(raw.decode())

    def stop(self) -> None:
        self._stopping.set()


def test_one_of_two_webs_is_replaced_under_load(stack: Stack, fake: RunningFakeLLM) -> None:
    """F3"""
    load = Balanced(stack)
    with ThreadPoolExecutor(9) as pool:
        tasks = [pool.submit(load.watch), *(pool.submit(load.ask, n) for n in range(8))]
        eventually(lambda: load.answered > 16)

        stack.web_processes[0].terminate()
        status = stack.web_processes[0].wait(10)
        stack.restart_web()
        before = load.answered
        eventually(lambda: load.ready == stack.ports and load.answered > before + 16)
        load.stop()
        for task in tasks:
            task.result()

    assert status == 0
    assert load.failures == []
    assert set(fake.stats()["by_prompt"].values()) == {1}
