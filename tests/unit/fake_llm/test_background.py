"""The endpoint in a thread: what is held stays where it is until it is released."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import openai
import pytest

from tests.eventually import eventually
from tests.fake_llm import RunningFakeLLM, running_fake_llm

Ask = Callable[[], "Future[str]"]


@pytest.fixture
def llm() -> Iterator[RunningFakeLLM]:
    with running_fake_llm(tokens=3) as running:
        yield running


@pytest.fixture
def ask(llm: RunningFakeLLM) -> Iterator[Ask]:
    def complete() -> str:
        return client.completions.create(model="fake-model", prompt="hello").choices[0].text

    with (
        openai.OpenAI(base_url=llm.base_url, api_key="any", max_retries=0) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        yield lambda: pool.submit(complete)


def test_what_is_held_ends_once_it_is_released(llm: RunningFakeLLM, ask: Ask) -> None:
    llm.hold()
    held = [ask(), ask()]
    eventually(lambda: llm.stats()["running"] == 2)
    assert not any(answer.done() for answer in held)

    llm.release(1000)

    assert len({answer.result(10) for answer in held}) == 1
    assert llm.stats()["completed"] == 2


def test_what_came_after_a_release_can_be_held(llm: RunningFakeLLM, ask: Ask) -> None:
    llm.release(1)
    answer = ask()
    eventually(lambda: llm.stats()["running"] == 1)

    llm.hold()
    later = ask()
    eventually(lambda: llm.stats()["running"] == 2)
    llm.release(1000)

    assert answer.result(10) == later.result(10)
