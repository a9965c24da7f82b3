"""Maintenance under load: pauses of a level, a tenant and intake lose nothing and keep order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from llmqueue_project.embedded.services import Services
from tests.client import Answer
from tests.eventually import eventually
from tests.fake_llm import RunningFakeLLM, running_fake_llm
from tests.stack import Stack, running_stack

# Processes have seen a pause by then: they read the rows every second or two.
SEEN_SECONDS = 2.0
# Web processes have looked at the queue again by then.
LOOK_SECONDS = 1.5
WAITS = {"LLMQUEUE_SCHEDULING__MAX_WAIT": '{"realtime": 1, "high": 600, "normal": 600, "low": 600}'}


TOKENS_PER_SECOND = 40


@pytest.fixture
def fake() -> Iterator[RunningFakeLLM]:
    with running_fake_llm(tokens=4) as llm:
        llm.release(TOKENS_PER_SECOND)
        yield llm


@pytest.fixture(params=["task", "direct"])
def stack(
    request: pytest.FixtureRequest, services: Services, fake: RunningFakeLLM
) -> Iterator[Stack]:
    with running_stack(services, gear=request.param, workers=2, environment=WAITS) as running:
        running.register("fake", fake.base_url, max_concurrent=2)
        yield running


# Clients wait while operators run up to seven commands, each a start of Django: a busy machine
# takes ten seconds for one.
PATIENCE_SECONDS = 150.0
# Expected to cost the same, whatever was learned of the first answers: the sweep corrects the tags
# of waiting jobs that turn out to have been charged far too much, and then they run sooner.
LOW: dict[str, Any] = {
    "max_tokens": 40,
    "headers": {"X-Priority": "low"},
    "timeout": PATIENCE_SECONDS,
}


def low(stack: Stack, pool: ThreadPoolExecutor, count: int) -> list[Future[Answer]]:
    """Requests of a second each, in a known order of arrival."""
    asked = []
    for number in range(1, count + 1):
        text = f"low {number} [[tokens=40]]"
        asked.append(pool.submit(stack.chat, text, **LOW))
        eventually(lambda: total(stack, "low") >= number, what="stored")  # noqa: B023
    return asked


def total(stack: Stack, level: str) -> int:
    number = ("realtime", "high", "normal", "low").index(level)
    return int(stack.rows("select count(*) from scheduling_job where level = %s", number)[0][0])


def paused(stack: Stack) -> int:
    return int(stack.rows("select count(*) from scheduling_pause")[0][0])


def started(stack: Stack) -> int:
    return int(stack.rows("select count(*) from scheduling_job where started_at is not null")[0][0])


def queue(stack: Stack, status: str) -> list[UUID]:
    """The low jobs of a status in the order in which they are to run."""
    rows = stack.rows(
        "select id from scheduling_job where level = 3 and status = %s order by fair_tag, id",
        status,
    )
    return [row[0] for row in rows]


def ran_in_order(stack: Stack, jobs: list[UUID]) -> bool:
    rows = stack.rows(
        "select id from scheduling_job where id = any(%s) order by started_at, id", jobs
    )
    # Two slots: neighbours may start in one statement, at one instant.
    return all(abs(jobs.index(row[0]) - place) <= 1 for place, row in enumerate(rows))


def test_pauses_under_load(stack: Stack, fake: RunningFakeLLM) -> None:
    fake.hold()
    with ThreadPoolExecutor(60) as pool:
        asked = low(stack, pool, 12)
        stack.manage("maintenance", "pause-level", "low")
        time.sleep(SEEN_SECONDS)
        fake.release(TOKENS_PER_SECOND)
        eventually(lambda: not stack.jobs().get("processing"), what="what ran has ended")
        before = started(stack)
        asked += [pool.submit(stack.chat, f"more {n}", **LOW) for n in range(4)]
        other = stack.chat("another level", headers={"X-Priority": "high"})
        time.sleep(0.5)

        assert other.status == 200
        assert started(stack) == before + 1, "of the paused level nothing starts"
        assert "low: " in stack.manage("capacity")
        assert "the level is paused" in stack.manage("capacity")

        stack.manage("maintenance", "pause-tenant", "demo")
        stack.manage("maintenance", "resume-level", "low")
        asked.append(pool.submit(stack.chat, "new of a paused tenant", timeout=PATIENCE_SECONDS))
        eventually(lambda: stack.jobs().get("held", 0) >= 5, what="held")
        assert not stack.jobs().get("queued")
        held = started(stack)
        time.sleep(0.5)
        assert started(stack) == held, "of the paused tenant nothing starts"

        stack.manage("maintenance", "pause-intake", "--reason", "new disks")
        refused = eventually(lambda: refusal(stack), what="refused")
        assert refused.body["error"]["code"] == "maintenance"
        assert "new disks" in refused.body["error"]["message"]
        assert int(refused.headers["retry-after"]) == 30
        draft = {"user_id": "u", "content": "x"}
        assert stack.call("POST", "/api/v1/messages", draft).body["code"] == 1008

        waiting = queue(stack, "held")
        stack.manage("maintenance", "resume-tenant", "demo")
        answers: list[Answer] = [each.result(PATIENCE_SECONDS) for each in asked]
        stack.manage("maintenance", "resume-intake")
        eventually(lambda: stack.chat("open again").status == 200, what="intake open")

    assert {answer.status for answer in answers} == {200}
    assert set(stack.jobs()) == {"completed"}
    assert len(waiting) >= 5
    assert ran_in_order(stack, waiting)
    assert "nothing is paused" in stack.manage("maintenance", "status")


def refusal(stack: Stack) -> Answer | None:
    answer = stack.chat("too late")
    return answer if answer.status == 503 else None


def test_drain_lets_what_runs_finish_and_starts_nothing(stack: Stack, fake: RunningFakeLLM) -> None:
    fake.hold()
    with ThreadPoolExecutor(20) as pool:
        asked = low(stack, pool, 16)
        eventually(lambda: started(stack) == 2, what="two run")

        drain = pool.submit(stack.manage, "maintenance", "drain", "--wait", "30")
        eventually(lambda: paused(stack) == 5, what="intake and four levels are paused")
        time.sleep(SEEN_SECONDS)
        assert not drain.done(), "it waits for those that run"
        fake.release(TOKENS_PER_SECOND)
        told = drain.result()

        assert "0 requests run" in told
        waiting = queue(stack, "queued")
        assert waiting
        time.sleep(0.5)
        assert stack.jobs() == {"queued": len(waiting), "completed": 16 - len(waiting)}
        stack.manage("maintenance", "resume-all")
        answers: list[Answer] = [each.result(PATIENCE_SECONDS) for each in asked]

    assert {answer.status for answer in answers} == {200}
    assert ran_in_order(stack, waiting)


def test_an_overloaded_level_refuses_with_a_time_and_others_go_on(
    stack: Stack, fake: RunningFakeLLM
) -> None:
    assert stack.chat("measured", headers={"X-Priority": "realtime"}).status == 200
    slow = "[[tokens=40]]"
    with ThreadPoolExecutor(60) as pool:
        headers = {"X-Priority": "realtime"}
        # All of them come before the first has ended, however slowly the machine sends them.
        fake.hold()
        asked = [pool.submit(stack.chat, f"{n} {slow}", headers=headers) for n in range(24)]
        eventually(
            lambda: total(stack, "realtime") - 1 + sum(each.done() for each in asked) == 24,
            what="each waits, runs or was refused",
        )
        # Some of the slow ones have ended and a look has seen it: their time is known. The rest
        # go on waiting.
        fake.release(TOKENS_PER_SECOND)
        eventually(lambda: started(stack) >= 5, what="some ended")
        fake.hold()
        time.sleep(LOOK_SECONDS)
        refused = stack.chat("one more", headers=headers)
        fake.release(TOKENS_PER_SECOND)

        assert refused.status == 429, refused.body
        assert refused.body["error"]["code"] == "queue_full"
        seconds = int(refused.headers["retry-after-ms"]) / 1000
        assert refused.headers["retry-after"] == str(max(1, -int(-seconds // 1)))
        assert "x-should-retry" not in refused.headers
        low = stack.chat("low goes on", headers={"X-Priority": "low"})
        answers = [each.result(120) for each in asked]

    assert low.status == 200
    assert {answer.status for answer in answers} <= {200, 429}
    assert sum(answer.status == 200 for answer in answers) >= 4
