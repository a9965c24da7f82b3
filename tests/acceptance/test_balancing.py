"""Endpoints that fail, hang, die and return, under load through the whole stack."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from tests.client import Answer
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.processes import kill
from tests.stack import Stack, running_stack

QUICK = {
    "LLMQUEUE_BALANCING__PROBE_SECONDS": "0.5",
    "LLMQUEUE_BALANCING__HEDGE_SHARE": "0.2",
    "LLMQUEUE_BALANCING__HEDGE_EXTRA_SECONDS": "0.5",
    "LLMQUEUE_BALANCING__EJECTION_SECONDS": "10",
    "LLMQUEUE_SCHEDULING__RETRY_BASE_SECONDS": "0.1",
}


TOKENS_PER_SECOND = 200
# Workers have seen a change by then: they read rows every 0.3 s and live state every 0.5 s, by a
# timer that is late on a busy machine.
SEEN_SECONDS = 2.0


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Stack]:
    with running_stack(services, gear="direct", workers=2, environment=QUICK) as running:
        yield running


@pytest.fixture
def fakes(stack: Stack) -> Iterator[list[Any]]:
    """Two endpoints of one pool, `one` and `two`; nothing is remembered of earlier ones."""
    with ExitStack() as started:
        found = []
        for name in ("one", "two"):
            fake = started.enter_context(
                running_fake_llm(tokens=10, tokens_per_second=TOKENS_PER_SECOND)
            )
            stack.register(name, fake.base_url, max_concurrent=8)
            found.append(fake)
        stack.execute("delete from scheduling_attempt")
        stack.execute("delete from balancing_modelpool")
        forget(stack)
        yield found


def forget(stack: Stack) -> None:
    """No failure, speed or outage of earlier endpoints is remembered, once the new ones answer."""
    began = now(stack).isoformat()

    def are_well() -> bool:
        found = states(stack).values()
        return all(
            (state["probed_at"] or "") > began and state["health"] != "unhealthy"
            for state in found
            if state["state"] == "enabled" and state["name"] in ("one", "two")
        )

    eventually(are_well, what="probes answer")
    stack.valkey().delete(*stack.valkey().keys("llmq:live:*"))
    time.sleep(SEEN_SECONDS)


def ask(stack: Stack, count: int, *, clients: int = 6, **fields: Any) -> list[Answer]:
    with ThreadPoolExecutor(clients) as pool:
        return list(pool.map(lambda n: stack.chat(f"q{n}", **fields), range(count)))


def attempts(stack: Stack, since: Any) -> dict[tuple[str, str], int]:
    """By endpoint and outcome."""
    rows = stack.rows(
        "select e.name, a.outcome, count(*) from scheduling_attempt a"
        " join balancing_endpoint e on e.id = a.endpoint_id where a.ended_at > %s group by 1, 2",
        since,
    )
    return {(name, outcome): count for name, outcome, count in rows}


def now(stack: Stack) -> Any:
    return stack.rows("select clock_timestamp()")[0][0]


def states(stack: Stack) -> dict[str, dict[str, Any]]:
    items = stack.call("GET", "/api/v1/endpoints/stats").body["data"]["items"]
    return {item["name"]: item for item in items}


def test_an_endpoint_that_fails_half_its_calls(stack: Stack, fakes: list[Any]) -> None:
    fakes[0].control(fail_rate=0.5)
    ask(stack, 60)
    warm = now(stack)

    answers = ask(stack, 200)

    assert {answer.status for answer in answers} == {200}
    assert sum(attempts(stack, warm).values()) / len(answers) <= 1.2


@pytest.mark.parametrize("stream", [False, True])
def test_an_endpoint_that_dies_is_not_seen_before_the_first_token(
    stack: Stack, fakes: list[Any], stream: bool
) -> None:
    for fake in fakes:
        fake.hold()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(stack.chat, f"d{n}", stream=stream) for n in range(8)]
        eventually(lambda: all(fake.stats()["running"] for fake in fakes))

        fakes[0].stop()
        fakes[1].release(TOKENS_PER_SECOND)
        answers = [one.result() for one in asked]

    assert {answer.status for answer in answers} == {200}
    if stream:
        assert all(b"[DONE]" in answer.raw and b'"error"' not in answer.raw for answer in answers)
    assert {answer.status for answer in ask(stack, 10, stream=stream)} == {200}
    eventually(lambda: states(stack)["one"]["health"] == "unhealthy", what="its probes fail")


def test_probes_bring_it_back(stack: Stack, fakes: list[Any]) -> None:
    fakes[0].control(healthy=False)
    eventually(lambda: states(stack)["one"]["health"] == "unhealthy", what="unhealthy")
    time.sleep(SEEN_SECONDS)
    began = now(stack)

    ask(stack, 10)
    during = attempts(stack, began)
    fakes[0].control(healthy=True)
    eventually(lambda: states(stack)["one"]["health"] in ("returning", "healthy"), what="healthy")
    back = now(stack)

    assert set(during) == {("two", "ok")}
    eventually(
        lambda: ask(stack, 8) and ("one", "ok") in attempts(stack, back), what="it works again"
    )


def test_whose_fault_it_is(stack: Stack, fakes: list[Any]) -> None:
    """B2, B4, B6: a quota of one of two, a lone busy endpoint, requests that fail everywhere."""
    with running_fake_llm(models=("lone",)) as lone:
        stack.register("lone", lone.base_url, models=["lone"])
        time.sleep(SEEN_SECONDS)

        with ThreadPoolExecutor(12) as pool:
            poison = list(pool.map(lambda n: stack.chat(f"[[status=500]] p{n}"), range(8)))
        healthy = {name: states(stack)[name]["health"] for name in ("one", "two")}
        innocent = ask(stack, 12)

        moment = stack.chat("[[status=429 times=4]]", model="lone")
        lone.control(fail_rate=1.0, status=429, retry_after=1800)
        began = time.monotonic()
        spent = stack.chat("spent", model="lone")
        seconds = time.monotonic() - began

        fakes[0].control(fail_rate=1.0, status=429, retry_after=1800)
        before = fakes[0].stats()["failures"]
        answers = ask(stack, 60)
        asked = fakes[0].stats()["failures"] - before

    assert {answer.status for answer in innocent} == {200}
    assert {answer.status for answer in poison} == {502}
    assert "x-should-retry" not in poison[0].headers
    assert set(healthy.values()) == {"healthy"}, "B6: nobody is ejected for the poison"

    assert moment.status == 200, "busy four times, although three attempts are allowed"
    assert spent.status == 429, "B4"
    assert seconds < 2.0
    assert 1790 <= int(spent.headers["retry-after"]) <= 1800
    assert spent.headers["x-should-retry"] == "false"
    assert spent.body["error"]["type"] == "rate_limit_error"

    assert {answer.status for answer in answers} == {200}, "B2"
    assert asked <= 10, "then it is left alone"


def test_a_drained_endpoint_finishes_what_it_runs(stack: Stack, fakes: list[Any]) -> None:
    for fake in fakes:
        fake.hold()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(stack.chat, f"r{n}") for n in range(6)]
        eventually(lambda: all(fake.stats()["running"] for fake in fakes))
        identifier = states(stack)["one"]["id"]

        stack.call("PATCH", f"/api/v1/endpoints/{identifier}", {"state": "draining"})
        time.sleep(SEEN_SECONDS)
        drained = now(stack)
        fakes[1].release(TOKENS_PER_SECOND)
        later = ask(stack, 8)
        fakes[0].release(TOKENS_PER_SECOND)
        answers = [one.result() for one in asked]

    assert {answer.status for answer in (*answers, *later)} == {200}
    assert fakes[0].stats()["cancelled"] == 0
    began = stack.rows(
        "select count(*) from scheduling_attempt a join balancing_endpoint e"
        " on e.id = a.endpoint_id where e.name = 'one' and a.started_at > %s",
        drained,
    )
    assert began == [(0,)]


@pytest.mark.parametrize("stream", [False, True])
def test_an_endpoint_that_hangs_is_hedged(stack: Stack, fakes: list[Any], stream: bool) -> None:
    urgent: dict[str, Any] = {"priority": "high", "stream": stream}
    for fake in fakes:
        fake.control(first_token=0.05, tokens=40, tokens_per_second=400)
    ask(stack, 60, **urgent)  # it is measured, and hedges are earned
    fakes[0].control(first_token=20.0)
    began = time.monotonic()

    answers = ask(stack, 4, clients=4, **urgent)

    assert time.monotonic() - began < 15
    assert {answer.status for answer in answers} == {200}
    rows = eventually(
        lambda: stack.rows(
            "select a.job_id from scheduling_attempt a join balancing_endpoint e"
            " on e.id = a.endpoint_id where e.name = 'one' and a.error_code = 'hedge_lost'"
        ),
        what="the call that was given up is on record",
    )
    ((why,),) = stack.rows(
        "select why from scheduling_attempt where job_id = %s and outcome = 'ok'", rows[0][0]
    )
    assert why["hedge"] == "one"
    eventually(lambda: fakes[0].stats()["running"] == 0, what="the other call is stopped")
    eventually(lambda: all(not s["in_use"] for s in states(stack).values()), what="slots are free")


def test_a_pools_profile_counts_within_seconds(stack: Stack, fakes: list[Any]) -> None:
    body = {"pattern": "fake-*", "profile": "session_affinity"}
    assert stack.call("POST", "/api/v1/model-pools", body).status == 201
    time.sleep(SEEN_SECONDS)
    began = now(stack)

    for n in range(8):
        stack.chat(f"p{n}", user="somebody")

    assert len(attempts(stack, began)) == 1, "one session meets one endpoint"
    ((why,),) = stack.rows("select why from scheduling_attempt order by id desc limit 1")
    assert why["profile"] == "session_affinity"


def test_a_fallback_model_answers_where_the_tenant_allows_it(
    stack: Stack, fakes: list[Any]
) -> None:
    with running_fake_llm(models=("small",)) as small:
        stack.register("small", small.base_url, models=["small"])
        body = {"pattern": "fake-model", "fallback_models": ["small"]}
        assert stack.call("POST", "/api/v1/model-pools", body).status == 201
        for fake in fakes:
            fake.control(fail_rate=1.0)
        time.sleep(SEEN_SECONDS)

        refused = stack.chat("no fallback")
        stack.execute("update conversations_tenant set allow_fallback_models = true")
        time.sleep(0.6)  # keys are remembered for half a second
        answer = stack.chat("fallback")

    stack.execute("update conversations_tenant set allow_fallback_models = false")
    assert refused.status >= 500
    assert answer.status == 200
    assert answer.headers["x-llmqueue-model"] == "small"
    assert answer.body["model"] == "small"


def test_kill_9_leaks_no_slot_and_no_cost(stack: Stack, fakes: list[Any]) -> None:
    for fake in fakes:
        fake.control(tokens_per_second=5)
    with ThreadPoolExecutor(16) as pool:
        for turn in range(3):
            asked = [pool.submit(stack.chat, f"k{turn}.{n}") for n in range(4)]
            eventually(lambda: sum(fake.stats()["running"] for fake in fakes) >= 2)
            kill(stack.worker_processes[-1])
            stack.add_worker()
            eventually(lambda: " ready." in stack.log(f"worker{len(stack.worker_processes) - 1}"))
        for fake in fakes:
            fake.control(tokens_per_second=200)
        assert {one.result().status for one in asked} == {200}

    eventually(stack.all_ended, seconds=20, what="every job ends")
    eventually(lambda: left_over(stack) == (0, 0), seconds=10, what="slots and costs are free")


def left_over(stack: Stack) -> tuple[int, int]:
    """Slots in use and cost running, over all endpoints."""
    ask(stack, 2)  # a look expires what is due
    client = stack.valkey()
    used = sum(client.zcard(key) for key in client.keys("llmq:slots:*") if b"epoch" not in key)
    cost = sum(int(client.hget(key, "cost") or 0) for key in client.keys("llmq:live:*"))
    return used, cost


def test_why_is_readable(stack: Stack, fakes: list[Any]) -> None:
    stack.chat("why")

    ((why,),) = stack.rows("select why from scheduling_attempt order by id desc limit 1")

    assert why["profile"] == "expected_work"
    assert set(why["scores"]) | set(why.get("refused", {})) == {"one", "two"}, json.dumps(why)
