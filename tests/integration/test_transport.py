"""A broker that goes away for a moment must not end a worker.

Stock Celery 5.7 exits with code 1 when late-acked tasks are in flight: on the dead connection it
restores and acknowledges through `transport.client`, which is None by then.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from llmqueue_project.embedded.services import Services
from tests.eventually import eventually
from tests.fake_llm import RunningFakeLLM, running_fake_llm
from tests.integration.slow_chores import SLOW
from tests.stack import Stack, running_stack

OUTAGE_SECONDS = 2.0
QUEUES = "realtime,high,normal,low,housekeeping"


@pytest.fixture(scope="module")
def fake() -> Iterator[RunningFakeLLM]:
    with running_fake_llm(tokens=10) as llm:
        yield llm


@pytest.fixture(params=["task", "direct"])
def stack(
    request: pytest.FixtureRequest, services: Services, fake: RunningFakeLLM
) -> Iterator[Stack]:
    with running_stack(services, gear=request.param, workers=0) as running:
        running.register("fake", fake.base_url, max_concurrent=8)
        yield running


def start_worker(stack: Stack) -> subprocess.Popen[bytes]:
    """A worker of all queues that knows the slow chore."""
    process = stack.add_worker(QUEUES, "-I", "tests.integration.slow_chores")
    eventually(lambda: " ready." in stack.log("worker0"), what="the worker")
    return process


def publish_chores(stack: Stack, folder: Path, *, count: int) -> list[Path]:
    """Chores under way, as beat would send them; the files they leave when released and done."""
    files = [folder / f"chore{n}" for n in range(count)]
    with Celery(broker=stack.services.redis_url) as app:
        app.conf.broker_transport_options = {"priority_steps": [0]}
        for path in files:
            app.send_task(SLOW, (str(path),), queue="housekeeping")
    eventually(lambda: all(path.with_suffix(".begun").exists() for path in files))
    return files


def end(chores: list[Path]) -> None:
    """Let them end, and wait until they have."""
    for path in chores:
        path.with_suffix(".release").touch()
    eventually(lambda: all(path.exists() for path in chores), what="the chores end")


def unacked(stack: Stack) -> int:
    return int(stack.valkey().hlen("unacked"))


def test_a_worker_survives_an_outage_with_tasks_in_flight(
    stack: Stack, fake: RunningFakeLLM, tmp_path: Path
) -> None:
    worker = start_worker(stack)
    before = fake.stats()["by_prompt"]
    chores = publish_chores(stack, tmp_path, count=3)
    fake.hold()
    with ThreadPoolExecutor(8) as pool:
        asked: list[Any] = [
            pool.submit(stack.chat, f"{stack.gear} {n} [[tokens=40]]") for n in range(6)
        ]
        eventually(lambda: fake.stats()["running"] == 6, what="level tasks in flight")
        assert unacked(stack) >= 3, "the chores are late-acked"

        stack.services.valkey.restart(down_seconds=OUTAGE_SECONDS)
        assert worker.poll() is None
        fake.release(10)
        answers = [future.result() for future in asked]

    end(chores)
    assert worker.poll() is None
    assert [answer.status for answer in answers] == [200] * 6
    generated = fake.stats()["by_prompt"]
    assert {generated[prompt] for prompt in generated.keys() - before.keys()} == {1}


def test_it_serves_again_soon_after_a_second_outage(
    stack: Stack, fake: RunningFakeLLM, tmp_path: Path
) -> None:
    worker = start_worker(stack)
    chores = publish_chores(stack, tmp_path, count=1)

    for _ in range(2):
        stack.services.valkey.restart(down_seconds=0.5)
        answer = stack.chat(f"{stack.gear} hello", timeout=20)
        assert answer.status == 200

    end(chores)
    assert worker.poll() is None
    assert "Unrecoverable error" not in stack.log("worker0")


def said(stack: Stack, name: str, event: str) -> bool:
    return event in stack.log(name)


@pytest.mark.parametrize("stack", ["direct"], indirect=True)
def test_a_worker_survives_a_valkey_that_is_a_replica_for_a_moment(
    stack: Stack, fake: RunningFakeLLM, tmp_path: Path
) -> None:
    worker = start_worker(stack)
    chores = publish_chores(stack, tmp_path, count=1)
    valkey = stack.valkey()

    valkey.replicaof("127.0.0.1", "1")
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(stack.chat, f"replica {n}", timeout=20) for n in range(4)]
        for name in ("web", "worker0"):
            eventually(partial(said, stack, name, "valkey.away"), what=f"{name} tells it")
        eventually(lambda: "broker_takes_no_writes" in stack.log("worker0"), what="Celery too")
        valkey.replicaof("no", "one")
        answers = [future.result() for future in asked]

    assert [answer.status for answer in answers] == [200] * 4
    assert all(fake.stats()["by_prompt"][f"replica {n}"] == 1 for n in range(4))
    end(chores)
    (more_path := tmp_path / "more").mkdir()
    more = publish_chores(stack, more_path, count=1)
    end(more)
    assert worker.poll() is None
    for name in ("web", "worker0"):
        eventually(partial(said, stack, name, "valkey.back"), what=f"{name} tells it")
        lines = stack.log(name)
        assert (lines.count("valkey.away"), lines.count("valkey.back")) == (1, 1)
