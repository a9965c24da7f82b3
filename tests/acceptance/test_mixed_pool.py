"""A real llama.cpp server and the controllable endpoint in one pool, and the real one dies."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmqueue_project.embedded import llm
from llmqueue_project.embedded.ports import free_port
from llmqueue_project.embedded.readiness import http_ok
from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.processes import kill
from tests.stack import Stack, running_stack

pytestmark = pytest.mark.skipif(not llm.installed(), reason="the demo model is not installed")


@pytest.fixture
def stack(services: Services) -> Iterator[Stack]:
    with running_stack(services, gear="direct") as running:
        yield running


@pytest.fixture
def llama() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """llama.cpp with the demo model: its base URL and its process."""
    port = free_port()
    program = [sys.executable, "-m", "llmqueue_project.embedded.llm", "--port", str(port)]
    process = subprocess.Popen([*program, "--slots", "2"])
    try:
        # It listens long before it has loaded the model, and answers 503 meanwhile.
        ready = f"http://127.0.0.1:{port}/health"
        eventually(lambda: http_ok(ready), what="llama.cpp has loaded the model")
        yield f"http://127.0.0.1:{port}/v1", process
    finally:
        process.kill()
        process.wait()


def test_a_killed_server_is_never_seen_before_the_first_token(
    stack: Stack, llama: tuple[str, subprocess.Popen[bytes]]
) -> None:
    base_url, process = llama
    with running_fake_llm(tokens=12, tokens_per_second=20) as fake, ThreadPoolExecutor(8) as pool:
        stack.register("llama", base_url, models=[llm.MODEL], max_concurrent=2)
        stack.register("fake", fake.base_url, models=[llm.MODEL], max_concurrent=2)

        def ask(number: int) -> tuple[int, str, str]:
            answer = stack.chat(f"Name {number} things.", model=llm.MODEL, max_tokens=12)
            endpoint = answer.headers.get("x-llmqueue-endpoint", "")
            return answer.status, endpoint, answer.body["choices"][0]["message"]["content"]

        before = list(pool.map(ask, range(16)))
        kill(process)
        after = list(pool.map(ask, range(16)))

    assert {status for status, _, _ in before + after} == {200}
    assert {endpoint for _, endpoint, _ in before} == {"llama", "fake"}
    assert {endpoint for _, endpoint, _ in after} == {"fake"}
    assert all(text for _, _, text in before + after)
