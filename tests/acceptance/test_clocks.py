"""Long, silent and dying answers, and short patience: what clients get of a whole stack."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import APIStatusError, APITimeoutError, OpenAI

from balancing.live.state import live_key
from llmqueue_project.embedded.services import Services
from tests.client import KEY
from tests.eventually import eventually
from tests.stack import Stack, running_stack

# One second of silence is too much in a stream here; the answers of `Endpoints` take longer.
IMPATIENT = {
    "LLMQUEUE_BALANCING__FIRST_TOKEN_TIMEOUT": "1",
    "LLMQUEUE_BALANCING__STALL_TIMEOUT": "1",
    "LLMQUEUE_BALANCING__PROBE_SECONDS": "0",
    "LLMQUEUE_WEB__COMMENT_SECONDS": "0.1",
}
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
ASK: list[Any] = [{"role": "user", "content": "hello"}]


def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def whole(text: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice]}).encode()


ROLE = chunk({"role": "assistant", "content": ""})
SPOKEN = chunk({"content": "fine"}) + chunk({}, "stop") + b"data: [DONE]\n\n"
PINGS: list[bytes | float] = [0.2, b": ping\n\n"] * 6
# What an endpoint says at the path of its name; a number is a pause in seconds.
SCRIPTS: dict[str, list[bytes | float]] = {
    "slow": [1.5, JSON + whole("slow")],
    "drips": [JSON, 0.6, b" ", 0.6, b"\n", 0.6, whole("drips")],
    "pings": [SSE, *PINGS, ROLE, *PINGS, SPOKEN],
    "only-pings": [SSE, *PINGS * 20],
    "dies": [SSE, ROLE],
    "hangs": [SSE, ROLE, 30.0],
    "good": [SSE, ROLE, SPOKEN],
}


class Endpoints:
    """A server whose paths are endpoints with a script each."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.open = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        name = head.split(b"/")[1].decode()
        self.calls.append(name)
        self.open += 1
        hung_up = asyncio.ensure_future(self._until_closed(reader))
        saying = asyncio.ensure_future(self._say(writer, SCRIPTS[name]))
        await asyncio.wait((hung_up, saying), return_when=asyncio.FIRST_COMPLETED)
        hung_up.cancel()
        saying.cancel()
        self.open -= 1
        writer.close()

    async def _say(self, writer: asyncio.StreamWriter, script: list[bytes | float]) -> None:
        for step in script:
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                writer.write(step)
                await writer.drain()

    async def _until_closed(self, reader: asyncio.StreamReader) -> None:
        while await reader.read(65536):
            pass

    async def run(self, ready: threading.Event, stop: asyncio.Event) -> None:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()


@pytest.fixture(scope="module")
def endpoints() -> Iterator[Endpoints]:
    running, ready = Endpoints(), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(running.run(ready, stop),))
    thread.start()
    ready.wait(10)
    yield running
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def stack(services: Services, endpoints: Endpoints) -> Iterator[Stack]:
    """Each script is an endpoint with a model of its name; `dies` and `hangs` serve `good` too.

    Where one of them and `good` serve a model, they take turns: what is measured of them does not
    keep the one from being asked.
    """
    with running_stack(services, gear="direct", environment=IMPATIENT) as running:
        for name in SCRIPTS:
            running.execute(
                "insert into balancing_endpoint (name, base_url, model_names, api_key_variable,"
                " weight, max_concurrent, state, created_at, updated_at)"
                " values (%s, %s, %s, '', 1, 8, 'enabled', now(), now())",
                name,
                f"http://127.0.0.1:{endpoints.port}/{name}/v1",
                json.dumps([name, f"{name}-or-good"]),
            )
        models = json.dumps(["good", "dies-or-good", "hangs-or-good"])
        running.execute(
            "update balancing_endpoint set model_names = %s, weight = 0.01 where name = 'good'",
            models,
        )
        running.execute(
            "insert into balancing_modelpool"
            " (pattern, profile, fallback_models, hedging, created_at, updated_at)"
            " values ('*-or-good', 'round_robin', '[]', true, now(), now())"
        )
        time.sleep(0.7)
        yield running


def sdk(stack: Stack, **options: Any) -> OpenAI:
    return OpenAI(
        base_url=f"{stack.url}/v1", api_key=KEY, **{"max_retries": 0, "timeout": 30, **options}
    )


def streamed(stack: Stack, model: str) -> list[Any]:
    client = sdk(stack)
    return list(client.chat.completions.create(model=model, messages=ASK, stream=True))


def text_of(chunks: list[Any]) -> str:
    return "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)


def post(stack: Stack, model: str, **headers: str) -> http.client.HTTPResponse:
    """An answer as soon as its headers are there."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.ports[0], timeout=30)
    sent = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", **headers}
    body = json.dumps({"model": model, "messages": ASK})
    connection.request("POST", "/v1/chat/completions", body, sent)
    return connection.getresponse()


def at_once(*work: Any) -> list[Any]:
    with ThreadPoolExecutor(len(work)) as pool:
        return [each.result() for each in [pool.submit(one) for one in work]]


def test_healthy_answers_are_never_cut(stack: Stack, endpoints: Endpoints) -> None:
    """X2 and kind 1: silence, drips and pings beyond the limits of silence; one call each."""
    slow, drips, pings = at_once(
        lambda: stack.chat("hello", model="slow"),
        lambda: stack.chat("hello", model="drips"),
        lambda: streamed(stack, "pings"),
    )

    assert slow.body["choices"][0]["message"]["content"] == "slow"
    assert drips.body["choices"][0]["message"]["content"] == "drips"
    assert text_of(pings) == "fine"
    assert [endpoints.calls.count(name) for name in ("slow", "drips", "pings")] == [1, 1, 1]


@pytest.mark.parametrize("name", ["dies", "hangs"])
def test_an_endpoint_that_ends_after_its_role_is_never_seen(
    stack: Stack, endpoints: Endpoints, name: str
) -> None:
    """Kind 3: spoken means text. The SDK reads one role and one answer."""
    for _ in range(3):
        chunks = streamed(stack, f"{name}-or-good")

        assert text_of(chunks) == "fine"
        assert sum(bool(each.choices[0].delta.role) for each in chunks if each.choices) == 1
        if name in endpoints.calls:
            break
    assert name in endpoints.calls, "the test has seen no failover"


def test_deadlines_end_what_has_no_end(stack: Stack, endpoints: Endpoints) -> None:
    """A deadline by header ends silence and pings alike, with an answer that SDKs do not repeat."""
    client = sdk(stack, max_retries=2)

    def ask(model: str, **fields: Any) -> Any:
        began = time.monotonic()
        with pytest.raises(Exception) as caught:
            list(
                client.chat.completions.create(
                    model=model,
                    messages=ASK,
                    extra_headers={"X-Timeout-Seconds": "1"},
                    **fields,
                )
            )
        return caught.value, time.monotonic() - began

    (whole_error, whole_seconds), (stream_error, stream_seconds) = at_once(
        lambda: ask("slow"), lambda: ask("only-pings", stream=True)
    )

    assert isinstance(whole_error, APIStatusError)
    assert whole_error.status_code == 408
    assert whole_error.response.headers["x-should-retry"] == "false"
    assert "time was up" in str(stream_error)
    assert max(whole_seconds, stream_seconds) < 5
    assert endpoints.calls.count("only-pings") == 1
    refused = stack.chat("hello", model="slow", headers={"x_timeout_seconds": "soon"})
    assert (refused.status, refused.body["error"]["param"]) == (400, "X-Timeout-Seconds")


def test_impatient_callers_eject_nobody(stack: Stack, endpoints: Endpoints) -> None:
    """B5: `timeout: 1` at an endpoint that needs longer, ten times."""
    ids = [
        stack.call(
            "POST",
            "/api/v1/messages",
            {"user_id": "u", "content": f"{n}", "model": "slow", "timeout": 1},
        ).body["data"]["id"]
        for n in range(10)
    ]

    def statuses() -> set[str]:
        return {
            stack.call("GET", f"/api/v1/messages/{each}").body["data"]["status"] for each in ids
        }

    eventually(lambda: statuses() == {"timeout"})
    ((slow,),) = stack.rows("select id from balancing_endpoint where name = 'slow'")
    live = stack.valkey().hgetall(live_key(slow))
    assert [live.get(field, b"0") for field in (b"failures", b"errors")] == [b"0", b"0"]
    assert b"ejected_until" not in live
    stats = stack.call("GET", "/api/v1/endpoints/stats").body["data"]["items"]
    (shown,) = [each for each in stats if each["id"] == slow]
    assert (shown["health"], shown["last_hour"]["errors"]) == ("healthy", 0)


def test_early_headers(stack: Stack) -> None:
    """A23: headers in time, white space, then the JSON; a failure is an error object."""

    def answer(**headers: str) -> tuple[float, int, bytes]:
        began = time.monotonic()
        found = post(stack, "slow", **{name.replace("_", "-"): v for name, v in headers.items()})
        return time.monotonic() - began, found.status, found.read()

    client = sdk(stack, default_headers={"X-Early-Headers": "0.2"})
    (seconds, status, raw), (_, late_status, late), unaware = at_once(
        lambda: answer(x_early_headers="0.5"),
        lambda: answer(x_early_headers="0.2", x_timeout_seconds="1"),
        lambda: client.chat.completions.create(model="slow", messages=ASK),
    )

    assert 0.4 < seconds < 1.4
    assert (status, raw[:2]) == (200, b"  ")
    assert json.loads(raw)["choices"][0]["message"]["content"] == "slow"
    assert late_status == 200
    assert json.loads(late)["error"]["type"] == "server_error"
    assert unaware.choices[0].message.content == "slow"


def test_the_headers_of_a_stream_come_before_its_first_token(stack: Stack) -> None:
    """A23: proxies that wait for headers hear of a stream at once."""
    client = sdk(stack)
    began = time.monotonic()
    with client.chat.completions.with_streaming_response.create(
        model="pings", messages=ASK, stream=True
    ) as response:
        assert time.monotonic() - began < 1
        assert response.status_code == 200
        first = next(response.iter_lines())
    assert first.startswith(":")


def test_a_client_that_gave_up_leaves_nothing_running(stack: Stack, endpoints: Endpoints) -> None:
    """A23: before its headers, and after early ones."""
    with pytest.raises(APITimeoutError):
        sdk(stack, timeout=0.8).chat.completions.create(model="hangs", messages=ASK)
    early = post(stack, "hangs", **{"X-Early-Headers": "0.1"})
    early.close()

    eventually(lambda: stack.all_ended() and endpoints.open == 0, seconds=5)
