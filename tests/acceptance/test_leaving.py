"""A planned stop of web (F3): who is told when, what goes on, and what is cut with a word."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from llmqueue_project.embedded.services import Services
from tests.client import Answer
from tests.eventually import eventually
from tests.fake_llm import FakeLLM, running_fake_llm
from tests.stack import Stack, running_stack

ACCEPT_SECONDS, GRACE_SECONDS = 1.5, 1.5
SETTINGS = {
    "LLMQUEUE_WEB__SHUTDOWN_ACCEPT_SECONDS": str(ACCEPT_SECONDS),
    "LLMQUEUE_WEB__SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
}
# Longer than web stays; and short enough to end within its time.
LONG, SHORT = "[[tokens=60 tps=10]]", "[[tokens=10 tps=10]]"


@pytest.fixture
def stack(services: Services) -> Iterator[Stack]:
    with running_stack(services, gear="direct", environment=SETTINGS) as running:
        yield running


@pytest.fixture
def fake(stack: Stack) -> Iterator[FakeLLM]:
    with running_fake_llm() as endpoint:
        stack.register("fake", endpoint.base_url, max_concurrent=12)
        yield endpoint


def test_sigterm_of_web(stack: Stack, fake: FakeLLM) -> None:
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
    assert json.loads(_data(answers["events"])[-1])["code"] == "shutting_down"

    eventually(stack.all_ended, what="nobody can come back for two, and the message goes on")
    assert stack.jobs() == {"cancelled": 2, "completed": 2}
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
