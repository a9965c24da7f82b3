"""Faults under load: every accepted request ends exactly once, and the stack recovers by itself."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llmqueue_project.embedded.services import Services
from tests.client import Answer
from tests.eventually import eventually
from tests.fake_llm import running_fake_llm
from tests.processes import kill
from tests.stack import Stack, running_stack

RECOVERY_SECONDS = 15.0


both_gears = pytest.mark.parametrize("stack", ["task", "direct"], indirect=True)


@pytest.fixture
def stack(request: pytest.FixtureRequest, services: Services) -> Iterator[Stack]:
    gear = getattr(request, "param", "direct")
    with running_stack(services, gear=gear, workers=2) as running:
        yield running


class Load:
    """Clients that ask in a loop; what each got is kept."""

    def __init__(self, stack: Stack, *, clients: int, directive: str) -> None:
        self._stack = stack
        self._directive = directive
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(clients)
        self.answers: list[Answer] = []
        self.lost: list[BaseException] = []
        for number in range(clients):
            self._pool.submit(self._ask, number)

    def _ask(self, client: int) -> None:
        turn = 0
        while not self._stopping.is_set():
            turn += 1
            try:
                self.answers.append(self._stack.chat(f"c{client} t{turn} {self._directive}"))
            except (OSError, urllib.error.URLError) as error:
                self.lost.append(error)
                time.sleep(0.2)

    def stop(self) -> None:
        self._stopping.set()
        self._pool.shutdown()

    def statuses(self) -> dict[int, int]:
        counts: dict[int, int] = {}
        for answer in self.answers:
            counts[answer.status] = counts.get(answer.status, 0) + 1
        return counts


def assert_each_ended_once(stack: Stack) -> None:
    eventually(stack.all_ended, seconds=RECOVERY_SECONDS + 5, what="every job ends")
    assert set(stack.jobs()) == {"completed"}, stack.jobs()
    ((jobs, results, answers),) = stack.rows(
        "select (select count(*) from scheduling_job),"
        " (select count(*) from scheduling_jobresult),"
        " (select count(*) from scheduling_attempt where outcome = 'ok')"
    )
    assert jobs == results == answers > 0


@both_gears
def test_kill_9_of_a_worker(stack: Stack) -> None:
    with running_fake_llm(tokens=20, tokens_per_second=20) as fake:
        stack.register("fake", fake.base_url, max_concurrent=12)
        load = Load(stack, clients=16, directive="")
        eventually(lambda: len(load.answers) > 8)

        kill(stack.worker_processes[0])
        killed_at = time.monotonic()
        eventually(
            lambda: stack.rows("select 1 from scheduling_attempt where outcome = 'lost'"),
            seconds=4 + RECOVERY_SECONDS,
            what="the sweep takes over",
        )
        recovered = time.monotonic() - killed_at
        load.stop()

        assert_each_ended_once(stack)
        assert load.statuses() == {200: len(load.answers)}
        assert not load.lost
        assert recovered < 4 + RECOVERY_SECONDS
        assert stack.worker_processes[1].poll() is None
        eventually(lambda: _slots(stack) == 0, what="the dead worker's slots free themselves")


def _slots(stack: Stack) -> int:
    client = stack.valkey()
    now = client.time()
    milliseconds = now[0] * 1000 + now[1] // 1000
    keys = [key for key in client.keys("llmq:slots:*") if not key.endswith(b"epoch")]
    return sum(client.zcount(key, milliseconds, "+inf") for key in keys)


def test_kill_9_of_the_web_process_while_clients_stream(stack: Stack) -> None:
    with running_fake_llm(tokens=30) as fake:
        fake.hold()
        stack.register("fake", fake.base_url, max_concurrent=12)
        with ThreadPoolExecutor(8) as pool:
            streams = [pool.submit(_chat_or_error, stack, f"s{n}") for n in range(8)]
            eventually(lambda: fake.stats()["running"] == 8)

            kill(stack.web_processes[0])
            outcomes = [stream.result() for stream in streams]
        fake.release(20)

        assert all(isinstance(outcome, OSError) for outcome in outcomes), outcomes
        eventually(lambda: not stack.answers(stack.ports[0]), what="the old process is gone")
        stack.restart_web()
        assert_each_ended_once(stack)
        assert fake.stats()["cancelled"] == 0
        assert stack.chat("hello [[tokens=2 tps=0]]").status == 200


def _chat_or_error(stack: Stack, content: str) -> Any:
    try:
        answer = stack.chat(content, stream=True)
    except OSError as error:
        return error
    except Exception as error:  # noqa: BLE001 - http.client's own for a torn stream
        return OSError(repr(error))
    return answer if answer.raw.endswith(b"\n") and b"[DONE]" in answer.raw else OSError("torn")


@both_gears
def test_valkey_away_for_two_seconds(stack: Stack) -> None:
    with running_fake_llm(tokens=10, tokens_per_second=20) as fake:
        stack.register("fake", fake.base_url, max_concurrent=12)
        load = Load(stack, clients=16, directive="")
        eventually(lambda: len(load.answers) > 8)

        stack.services.valkey.restart(down_seconds=2)
        before = len(load.answers)
        eventually(lambda: len(load.answers) > before + 32, seconds=RECOVERY_SECONDS)
        load.stop()

        assert_each_ended_once(stack)
        assert load.statuses() == {200: len(load.answers)}
        assert [worker.poll() for worker in stack.worker_processes] == [None, None]


@both_gears
def test_postgresql_away_for_two_seconds(stack: Stack) -> None:
    with running_fake_llm(tokens=10, tokens_per_second=20) as fake:
        stack.register("fake", fake.base_url, max_concurrent=12)
        load = Load(stack, clients=16, directive="")
        eventually(lambda: len(load.answers) > 8)

        stack.services.postgres.restart(down_seconds=2)
        before = len(load.answers)
        eventually(lambda: len(load.answers) > before + 32, seconds=RECOVERY_SECONDS)
        load.stop()

        assert_each_ended_once(stack)
        assert set(load.statuses()) <= {200, 503}, load.statuses()
        assert [worker.poll() for worker in stack.worker_processes] == [None, None]


@both_gears
def test_tickets_lost_and_tickets_doubled(stack: Stack) -> None:
    from scheduling.tickets.messages import render

    with running_fake_llm(tokens=5, tokens_per_second=20) as fake:
        stack.register("fake", fake.base_url, max_concurrent=4)
        valkey = stack.valkey()
        load = Load(stack, clients=24, directive="")
        for round_ in range(6):
            time.sleep(0.3)
            if round_ % 2:
                valkey.delete("normal")
            else:
                valkey.lpush("normal", *(render("normal") for _ in range(40)))
        before = len(load.answers)
        eventually(lambda: len(load.answers) > before + 24, seconds=RECOVERY_SECONDS)
        load.stop()

        assert_each_ended_once(stack)
        assert load.statuses() == {200: len(load.answers)}
        generations = fake.stats()["by_prompt"]
        assert set(generations.values()) == {1}, "a doubled ticket generated an answer twice"
        assert fake.stats()["max_running"] <= 4


@both_gears
def test_a_graceful_stop_gives_back_what_it_cannot_finish(stack: Stack) -> None:
    with running_fake_llm(tokens=100) as fake:
        fake.hold()
        stack.register("fake", fake.base_url, max_concurrent=12)
        with ThreadPoolExecutor(8) as pool:
            asked = [pool.submit(stack.chat, f"g{n}") for n in range(8)]
            eventually(lambda: fake.stats()["running"] == 8)

            stack.worker_processes[0].terminate()
            assert stack.worker_processes[0].wait(15) == 0
            fake.release(100)
            answers = [future.result() for future in asked]

    assert {answer.status for answer in answers} == {200}
    assert_each_ended_once(stack)
    assert not stack.rows("select 1 from scheduling_attempt where outcome = 'lost'")
    assert stack.rows("select max(attempts) from scheduling_job") == [(1,)]


def test_an_endpoint_that_is_down_is_passed_over(stack: Stack) -> None:
    with running_fake_llm(tokens=3) as good, running_fake_llm(tokens=3) as bad:
        stack.register("good", good.base_url, max_concurrent=8)
        stack.register("bad", bad.base_url, max_concurrent=8)
        bad.stop()

        answers = [stack.chat(f"d{n}") for n in range(12)]

    assert {answer.status for answer in answers} == {200}
    assert {answer.headers["x-llmqueue-endpoint"] for answer in answers} == {"good"}
    failed = stack.rows("select error_code from scheduling_attempt where outcome = 'error'")
    assert set(failed) == {("connect_failed",)}


def test_failures_are_retried_and_used_up_jobs_are_dead_letters(stack: Stack) -> None:
    with running_fake_llm(tokens=3) as fake:
        stack.register("fake", fake.base_url, max_concurrent=8)

        passing = stack.chat("once [[status=503 times=1]]")
        hopeless = stack.chat("never [[status=503]]")

    assert passing.status == 200
    assert hopeless.status == 502
    assert hopeless.body["error"]["code"] == "http_503"
    assert stack.jobs() == {"completed": 1, "failed": 1}
    tries = stack.rows(
        "select j.status, count(*) from scheduling_attempt a"
        " join scheduling_job j on j.id = a.job_id group by j.status"
    )
    assert dict(tries) == {"completed": 2, "failed": 3}


def test_a_stream_that_breaks_ends_with_an_error_event(stack: Stack) -> None:
    with running_fake_llm(tokens=20) as fake:
        stack.register("fake", fake.base_url, max_concurrent=8)

        answer = stack.chat("break [[break_after=5]]", stream=True)

    events = [line[6:] for line in answer.raw.decode().split("\n") if line.startswith("data: ")]
    assert answer.status == 200
    assert "[DONE]" not in events
    assert json.loads(events[-1])["error"]["code"] == "broken"
    assert stack.jobs() == {"failed": 1}


def test_a_stream_whose_worker_dies_ends_with_an_error_event(stack: Stack) -> None:
    with running_fake_llm(tokens=200, tokens_per_second=10) as fake:
        stack.register("fake", fake.base_url, max_concurrent=4)
        silent = [f"silent {n} [[first=2 tokens=3 tps=0]]" for n in range(3)]
        with ThreadPoolExecutor(4) as pool:
            asked = pool.submit(stack.chat, "torn", stream=True)
            eventually(lambda: fake.stats()["running"] == 1)
            time.sleep(0.5)
            ((name,),) = stack.rows("select worker from scheduling_job")
            unseen = [pool.submit(stack.chat, each, stream=True) for each in silent]
            eventually(lambda: fake.stats()["running"] == 4)
            kill(stack.worker_processes[int(name.removeprefix("w").partition("@")[0])])
            answer = asked.result()
            others = [future.result() for future in unseen]
        assert stack.all_ended()
        calls = fake.stats()["by_prompt"]

    events = [line[6:] for line in answer.raw.decode().split("\n") if line.startswith("data: ")]
    assert json.loads(events[-1])["error"]["code"] == "attempt_lost"
    assert "[DONE]" not in events
    assert stack.jobs() == {"failed": 1, "completed": 3}
    assert stack.rows("select error_code from scheduling_job where status = 'failed'") == [
        ("attempt_lost",)
    ]
    assert calls["torn"] == 1, "nobody is there for a second answer"
    assert [other.raw.count(b"[DONE]") for other in others] == [1, 1, 1]
    assert all(b"error" not in other.raw for other in others), "a silent attempt is lost unseen"


def test_a_graceful_stop_restarts_a_message_from_the_beginning(stack: Stack) -> None:
    with running_fake_llm(tokens=60, tokens_per_second=10) as fake:
        stack.register("fake", fake.base_url, max_concurrent=4)
        sent = stack.call("POST", "/api/v1/messages", {"user_id": "u", "content": "again"})
        identifier = sent.body["data"]["id"]
        eventually(lambda: fake.stats()["running"] == 1)
        time.sleep(0.5)
        ((name,),) = stack.rows("select worker from scheduling_job")
        process = stack.worker_processes[int(name.removeprefix("w").partition("@")[0])]
        process.terminate()

        answer = stack.call("GET", f"/api/v1/messages/{identifier}/events")

    events = _events(answer.raw.decode())
    texts = [data["content"] for kind, data in events if kind == "delta"]
    reset = [kind for kind, _ in events].index("reset")
    after = "".join(d["content"] for kind, d in events[reset:] if kind == "delta")
    assert events[-1][0] == "completed"
    assert stack.rows("select text from scheduling_jobresult") == [(after,)]
    assert len(texts) > 60


def _events(raw: str) -> list[tuple[str, Any]]:
    events = []
    for block in raw.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "event" in fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events
