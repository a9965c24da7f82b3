"""The call to an endpoint: what comes back, and every way in which it can end badly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

import orjson
import pytest

from balancing.calls.answer import Answer
from balancing.calls.client import Client, upstream
from balancing.endpoints.registry import Target
from balancing.errors import Broken, CallError, Refused, TimedOut, Unavailable
from balancing.kinds.call import Call, Timeouts
from tests.fake_llm import FakeLLM

PATIENT = Timeouts(connect=5, first_token=5, stall=5, total=10)
SSE = "text/event-stream"
DELTA = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}]}
LAST = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    await made.close()


@pytest.fixture
async def llm() -> AsyncIterator[FakeLLM]:
    async with FakeLLM(tokens=4) as endpoint:
        yield endpoint


def target(base_url: str, variable: str = "") -> Target:
    return Target(1, "e", base_url, frozenset(["m"]), variable, 1.0, 8, "enabled")


def chat(
    prompt: str = "hello", *, stream: bool = False, timeouts: Timeouts = PATIENT, **fields: Any
) -> Call:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], **fields}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return Call(uuid4(), "chat", orjson.dumps(body).decode(), stream, timeouts)


def quick(**fields: float) -> Timeouts:
    return Timeouts(**{"connect": 5, "first_token": 5, "stall": 5, "total": 10, **fields})


class Chunks:
    """What a caller was handed."""

    def __init__(self) -> None:
        self.all: list[tuple[dict[str, Any], bool]] = []

    def __call__(self, text: str, is_usage: bool) -> None:
        self.all.append((orjson.loads(text), is_usage))

    @property
    def text(self) -> str:
        choices = [choice for chunk, _ in self.all for choice in chunk["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)


async def failure(client: Client, endpoint: Target, call: Call) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.call(endpoint, call, Chunks())
    return caught.value


def response(
    body: bytes | str, *, status: str = "200 OK", kind: str = "application/json", **headers: str
) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode() + data


def events(*payloads: Any, done: bool = True) -> bytes:
    texts = [p if isinstance(p, bytes) else orjson.dumps(p) for p in payloads]
    frames = b"".join(b"data: " + text + b"\n\n" for text in texts)
    return response(frames + (b"data: [DONE]\n\n" if done else b""), kind=SSE)


@asynccontextmanager
async def scripted(*parts: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """An endpoint that answers every request with these bytes, part by part, and its requests."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", requests


async def from_script(client: Client, data: bytes, *, stream: bool = False) -> Answer:
    async with scripted(data) as (url, _):
        return await client.call(target(url), chat(stream=stream), Chunks())


async def failure_of(client: Client, data: bytes, *, stream: bool = False) -> CallError:
    async with scripted(data) as (url, _):
        return await failure(client, target(url), chat(stream=stream))


class TestEchoes:
    """A server that repeats the credential in its refusal."""

    CREDENTIAL = 'sk-"quoted"-0123456789'

    @pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized"])
    async def test_the_credential_is_told_to_nobody(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, status: str
    ) -> None:
        monkeypatch.setenv("LLM_ECHO", self.CREDENTIAL)
        body = orjson.dumps({"error": {"message": f"Incorrect API key: {self.CREDENTIAL}."}})

        async with scripted(response(body, status=status)) as (url, requests):
            error = await failure(client, target(url, "LLM_ECHO"), chat())

        assert self.CREDENTIAL.encode() in requests[0]
        assert str(error) == "Incorrect API key: ***."
        assert "0123456789" not in error.body

    async def test_a_list_of_models_that_is_refused(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLM_ECHO", self.CREDENTIAL)
        body = orjson.dumps({"error": f"no such key: {self.CREDENTIAL}"})

        async with scripted(response(body, status="403 Forbidden")) as (url, _):
            with pytest.raises(CallError) as caught:
                await client.models(target(url, "LLM_ECHO"), PATIENT)

        assert str(caught.value) == "no such key: ***"


DEEP = b"[" * 400 + b"]" * 400


class TestOddAnswers:
    """What cannot be passed on is the failure of whoever answered so: another one is asked."""

    @pytest.mark.parametrize(
        ("data", "stream"),
        [
            (response(b'{"choices": [], "x": %b}' % DEEP), False),
            (response(b'{"choices": [5]}'), True),
            (response(b'{"choices": 5}'), True),
            (events(b'{"choices": [], "x": %b}' % DEEP), True),
        ],
    )
    async def test_it_is_broken(self, client: Client, data: bytes, stream: bool) -> None:
        error = await failure_of(client, data, stream=stream)

        assert isinstance(error, Broken)
        assert error.code == "malformed"


class TestWhole:
    async def test_the_answer_its_text_and_its_usage(self, client: Client, llm: FakeLLM) -> None:
        call, chunks = chat("one two"), Chunks()

        answer = await client.call(target(llm.base_url), call, chunks)

        body = orjson.loads(answer.body)
        assert body["id"] == f"chatcmpl-{call.job_id.hex}"
        assert answer.text == body["choices"][0]["message"]["content"]
        assert len(answer.text.split()) == 4
        assert (answer.prompt_tokens, answer.completion_tokens) == (2, 4)
        assert answer.first_token_at is not None
        assert chunks.all == []

    async def test_legacy_completions(self, client: Client, llm: FakeLLM) -> None:
        call = Call(uuid4(), "completion", '{"model":"m","prompt":"hi"}', False, PATIENT)

        answer = await client.call(target(llm.base_url), call, Chunks())

        assert orjson.loads(answer.body)["id"] == f"cmpl-{call.job_id.hex}"
        assert len(answer.text.split()) == 4

    async def test_an_answer_in_several_parts(self, client: Client) -> None:
        text = "word " * 100_000
        whole = {"id": "1", "choices": [{"index": 0, "message": {"content": text}}]}
        data = response(orjson.dumps(whole))

        async with scripted(data[:200], data[200:70_000], data[70_000:]) as (url, _):
            answer = await client.call(target(url), chat(), Chunks())

        assert answer.text == text

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            ({}, ""),
            ({"choices": []}, ""),
            ({"choices": ["x"]}, ""),
            ({"choices": [{"message": {"content": None}}]}, ""),
            ({"choices": [{"message": "x", "text": "t"}]}, "t"),
        ],
    )
    async def test_answers_of_other_shapes_are_passed_on(
        self, client: Client, body: Any, text: str
    ) -> None:
        answer = await from_script(client, response(orjson.dumps(body)))

        assert orjson.loads(answer.body) == body
        assert answer.text == text
        assert answer.prompt_tokens is None

    @pytest.mark.parametrize("count", [-1, 2**31, "7", None, 1.5])
    async def test_a_count_that_cannot_be_one_is_unknown(self, client: Client, count: Any) -> None:
        usage = {"prompt_tokens": count, "completion_tokens": 3}

        answer = await from_script(client, response(orjson.dumps({"usage": usage})))

        assert (answer.prompt_tokens, answer.completion_tokens) == (None, 3)

    async def test_an_endpoint_that_does_not_stream_gives_one_chunk(self, client: Client) -> None:
        message = {"role": "assistant", "content": "all"}
        whole = {"id": "1", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        chunks = Chunks()

        async with scripted(response(orjson.dumps(whole))) as (url, _):
            answer = await client.call(target(url), chat(stream=True), chunks)

        ((chunk, is_usage),) = chunks.all
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["choices"] == [{"index": 0, "finish_reason": "stop", "delta": message}]
        assert (answer.text, is_usage) == ("all", False)


class TestStream:
    async def test_chunks_come_as_they_are_and_the_whole_is_put_together(
        self, client: Client, llm: FakeLLM
    ) -> None:
        call, chunks = chat("one two", stream=True), Chunks()

        answer = await client.call(target(llm.base_url), call, chunks)

        assert {chunk["id"] for chunk, _ in chunks.all} == {f"chatcmpl-{call.job_id.hex}"}
        assert chunks.text == answer.text
        assert len(answer.text.split()) == 4
        assert [is_usage for _, is_usage in chunks.all] == [False] * (len(chunks.all) - 1) + [True]
        assert (answer.prompt_tokens, answer.completion_tokens) == (2, 4)
        assert orjson.loads(answer.body)["choices"][0]["finish_reason"] == "stop"

    async def test_it_is_live(self, client: Client, llm: FakeLLM) -> None:
        first = asyncio.Event()
        call = chat("[[tokens=3 stall_after=1]]", stream=True)
        task = asyncio.create_task(
            client.call(target(llm.base_url), call, lambda text, is_usage: first.set())
        )

        await asyncio.wait_for(first.wait(), 5)

        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    async def test_chunks_cut_anywhere(self, client: Client) -> None:
        data = events(DELTA, DELTA, LAST)
        parts = [data[i : i + 37] for i in range(0, len(data), 37)]

        async with scripted(*parts) as (url, _):
            answer = await client.call(target(url), chat(stream=True), Chunks())

        assert answer.text == "hihi"

    async def test_without_usage_the_chunks_are_counted(self, client: Client) -> None:
        answer = await from_script(client, events(DELTA, DELTA, LAST), stream=True)

        assert (answer.prompt_tokens, answer.completion_tokens) == (None, 2)

    async def test_comments_blank_events_and_other_fields_are_skipped(self, client: Client) -> None:
        frames = (
            b": hello\r\n\r\nevent: x\nid: 3\ndata:\n\ndata:" + orjson.dumps(DELTA) + b"\r\n\r\n"
        )
        end = b"data: " + orjson.dumps(LAST) + b"\n\ndata: [DONE]\n\n"

        answer = await from_script(client, response(frames + end, kind=SSE), stream=True)

        assert answer.text == "hi"

    async def test_a_finished_answer_needs_no_done(self, client: Client) -> None:
        answer = await from_script(client, events(DELTA, LAST, done=False), stream=True)

        assert answer.text == "hi"


class TestRefusals:
    @pytest.mark.parametrize("status", [400, 409, 413, 422])
    async def test_the_request_is_at_fault(self, client: Client, status: int) -> None:
        body = b'{"error":{"message":"too long"}}'

        error = await failure_of(client, response(body, status=f"{status} No"))

        assert isinstance(error, Refused)
        assert not error.retryable
        assert (error.status, error.body, str(error)) == (status, body.decode(), "too long")

    @pytest.mark.parametrize("status", [401, 403, 404, 408, 425, 429, 500, 502, 503, 504])
    async def test_the_endpoint_is_at_fault(
        self, client: Client, llm: FakeLLM, status: int
    ) -> None:
        error = await failure(client, target(llm.base_url), chat(f"[[status={status}]]"))

        assert isinstance(error, Unavailable)
        assert error.retryable
        assert (error.code, error.status) == (f"http_{status}", status)
        assert str(error) == "failing on purpose"

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_a_redirect_is_refused_and_not_followed(
        self, client: Client, llm: FakeLLM, status: int
    ) -> None:
        moved = response("", status=f"{status} Moved", Location=f"{llm.base_url}/chat/completions")

        error = await failure_of(client, moved)

        assert isinstance(error, Unavailable)
        assert error.code == f"http_{status}"
        assert llm.stats()["requests"] == 0

    async def test_a_page_instead_of_json_is_not_passed_on(self, client: Client) -> None:
        error = await failure_of(client, response("<html>", status="400 Bad", kind="text/html"))

        assert (error.body, str(error)) == ("", "the endpoint answered 400")

    async def test_a_long_refusal_in_several_parts(self, client: Client) -> None:
        body = orjson.dumps({"error": {"message": "m", "detail": "d" * 50_000}})
        data = response(body, status="422 No")

        async with scripted(data[:9_000], data[9_000:]) as (url, _):
            error = await failure(client, target(url), chat())

        assert error.body == body.decode()

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [("7", 7), ("999999", 3600), ("soon", 0), ("", 0), ("-3", 0), ("²", 0)],
    )
    async def test_retry_after(self, client: Client, value: str, seconds: float) -> None:
        data = response("{}", status="429 Busy", Retry_After=value)

        error = await failure_of(client, data)

        assert error.retry_after_seconds == seconds

    @pytest.mark.parametrize(("ahead", "seconds"), [(100, 100), (-100, 0), (10**6, 3600)])
    async def test_retry_after_as_a_date(self, client: Client, ahead: int, seconds: float) -> None:
        date = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

        error = await failure_of(client, response("{}", status="503 No", Retry_After=date))

        assert error.retry_after_seconds == pytest.approx(seconds, abs=5)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_error_object_with_status_200(self, client: Client, stream: bool) -> None:
        body = {"error": {"message": "out of memory"}}
        data = events(body) if stream else response(orjson.dumps(body))

        error = await failure_of(client, data, stream=stream)

        assert isinstance(error, Unavailable)
        assert (error.code, str(error)) == ("endpoint_error", "out of memory")


class TestTimeouts:
    @asynccontextmanager
    async def deaf(self) -> AsyncIterator[str]:
        """A port whose connections are never accepted: the kernel's queue for it is full."""
        loop = asyncio.get_running_loop()
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen(0)
            waiting = [socket.socket() for _ in range(4)]
            try:
                for each in waiting:
                    each.setblocking(False)
                    each.connect_ex(listening.getsockname())
                await asyncio.sleep(0)
                assert loop.is_running()
                yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
            finally:
                for each in waiting:
                    each.close()

    async def test_connect(self, client: Client) -> None:
        async with self.deaf() as url:
            error = await failure(client, target(url), chat(timeouts=quick(connect=0.1)))

        assert isinstance(error, TimedOut)
        assert error.code == "connect_timeout"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_first_token(self, client: Client, llm: FakeLLM, stream: bool) -> None:
        call = chat("[[latency=5]]", stream=stream, timeouts=quick(first_token=0.1))

        error = await failure(client, target(llm.base_url), call)

        assert isinstance(error, TimedOut)
        assert error.code == "first_token_timeout"

    async def test_first_token_after_the_headers(self, client: Client, llm: FakeLLM) -> None:
        call = chat("[[first=5]]", stream=True, timeouts=quick(first_token=0.1))

        error = await failure(client, target(llm.base_url), call)

        assert error.code == "first_token_timeout"

    async def test_stall(self, client: Client, llm: FakeLLM) -> None:
        call = chat("[[stall_after=2]]", stream=True, timeouts=quick(stall=0.1))
        chunks = Chunks()

        with pytest.raises(TimedOut) as caught:
            await client.call(target(llm.base_url), call, chunks)

        assert caught.value.code == "stalled"
        assert len(chunks.text.split()) == 2

    async def test_total(self, client: Client, llm: FakeLLM) -> None:
        call = chat("[[tokens=100 tps=50]]", stream=True, timeouts=quick(total=0.15))

        error = await failure(client, target(llm.base_url), call)

        assert isinstance(error, TimedOut)
        assert error.code == "total_timeout"

    async def test_slow_but_steady_is_in_time(self, client: Client, llm: FakeLLM) -> None:
        timeouts = quick(first_token=0.3, stall=0.3)

        answer = await client.call(
            target(llm.base_url),
            chat("[[tokens=20 tps=40]]", stream=True, timeouts=timeouts),
            Chunks(),
        )

        assert len(answer.text.split()) == 20, "half a second in all: no single wait is too long"


class TestBreaks:
    async def test_a_stream_that_breaks_off(self, client: Client, llm: FakeLLM) -> None:
        chunks = Chunks()

        with pytest.raises(Broken) as caught:
            await client.call(target(llm.base_url), chat("[[break_after=2]]", stream=True), chunks)

        assert caught.value.code == "broken"
        assert len(chunks.text.split()) == 2

    async def test_a_stream_that_ends_too_early(self, client: Client) -> None:
        error = await failure_of(client, events(DELTA, done=False), stream=True)

        assert isinstance(error, Broken)
        assert error.code == "broken"

    async def test_a_host_that_no_resolver_takes(self, client: Client) -> None:
        error = await failure(client, target(f"http://{'a' * 64}/v1"), chat())

        assert isinstance(error, Unavailable)
        assert error.code == "connect_failed"

    async def test_an_endpoint_that_is_not_there(self, client: Client, llm: FakeLLM) -> None:
        await llm.stop()

        error = await failure(client, target(llm.base_url), chat())

        assert isinstance(error, Unavailable)
        assert error.code == "connect_failed"

    async def test_a_body_shorter_than_promised(self, client: Client) -> None:
        error = await failure_of(client, response("{}" * 50)[:-20])

        assert isinstance(error, Broken)

    @pytest.mark.parametrize(
        "payload",
        [
            b"{not json",
            b"[1]",
            b'"text"',
            b'{"choices":[1]}',
            b'{"choices":"abc"}',
            b'{"choices":[{"delta":"abc"}]}',
            b'{"choices":[{"delta":{"tool_calls":[null]}}]}',
            b'{"choices":[{"delta":{"content":5}}]}',
            b'{"choices":[{"index":[],"delta":{}}]}',
        ],
    )
    async def test_a_malformed_chunk(self, client: Client, payload: bytes) -> None:
        error = await failure_of(client, events(payload, LAST), stream=True)

        assert isinstance(error, Broken)
        assert error.code == "malformed"

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"{" * 10])
    async def test_a_malformed_answer(self, client: Client, body: bytes) -> None:
        error = await failure_of(client, response(body))

        assert isinstance(error, Broken)
        assert error.code == "malformed"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_without_end(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, stream: bool
    ) -> None:
        monkeypatch.setattr("balancing.calls.reading.LARGEST_ANSWER", 1000)
        huge = {
            "choices": [
                {"index": 0, "delta": {"content": "x" * 2_000_000}, "finish_reason": "stop"}
            ]
        }
        data = events(huge) if stream else response(orjson.dumps(huge))

        error = await failure_of(client, data, stream=stream)

        assert isinstance(error, Broken)


class TestCredential:
    async def test_it_comes_from_the_named_variable(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLM_GPU_KEY", "s3cret")

        async with scripted(response("{}")) as (url, requests):
            await client.call(target(url, "LLM_GPU_KEY"), chat(), Chunks())

        assert b"Authorization: Bearer s3cret\r\n" in requests[0]

    async def test_without_a_variable_none_is_sent(self, client: Client) -> None:
        async with scripted(response("{}")) as (url, requests):
            await client.call(target(url), chat(), Chunks())

        assert b"authorization" not in requests[0].lower()

    async def test_cookies_are_not_kept(self, client: Client) -> None:
        async with scripted(response("{}", Set_Cookie="a=b")) as (url, requests):
            for _ in range(2):
                await client.call(target(url), chat(), Chunks())

        assert b"cookie" not in requests[1].lower()


class TestMember:
    async def test_it_is_called_at_its_address_by_its_groups_name(self, client: Client) -> None:
        async with scripted(response("{}")) as (url, requests):
            member = replace(target(url), host="llm.local:8000")
            await client.call(member, chat(), Chunks())

        assert b"Host: llm.local:8000\r\n" in requests[0]
        assert requests[0].lower().count(b"host: ") == 1


class TestAlias:
    def test_the_endpoint_hears_its_own_name(self) -> None:
        known = replace(target("http://x"), model_aliases={"m": "m-q4"})

        body = orjson.loads(upstream(known, chat(seed=7)).body)

        assert (body["model"], body["seed"]) == ("m-q4", 7)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_the_client_hears_the_name_it_used(
        self, client: Client, llm: FakeLLM, stream: bool
    ) -> None:
        known = replace(target(llm.base_url), model_aliases={"m": "m-q4"})
        chunks = Chunks()

        answer = await client.call(known, chat(stream=stream), chunks)

        assert orjson.loads(answer.body)["model"] == "m"
        assert {chunk["model"] for chunk, _ in chunks.all} <= {"m"}

    def test_other_models_keep_their_names(self) -> None:
        known = replace(target("http://x"), model_aliases={"other": "x"})

        assert orjson.loads(upstream(known, chat()).body)["model"] == "m"

    def test_without_aliases_the_body_is_sent_as_it_is(self) -> None:
        call = replace(chat(), body='{"model":  "m", "n": 123456789012345678901}')

        assert upstream(target("http://x"), call) is call


class TestCancellation:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_it_closes_the_upstream_call(
        self, client: Client, llm: FakeLLM, stream: bool
    ) -> None:
        call = chat("[[stall_after=1]]", stream=stream)
        task = asyncio.create_task(client.call(target(llm.base_url), call, Chunks()))
        await until(lambda: llm.stats()["running"] == 1)

        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()
        await until(lambda: llm.stats()["cancelled"] == 1)
        assert llm.stats()["running"] == 0

    async def test_so_does_a_timeout(self, client: Client, llm: FakeLLM) -> None:
        call = chat("[[stall_after=1]]", stream=True, timeouts=quick(stall=0.05))

        await failure(client, target(llm.base_url), call)

        await until(lambda: llm.stats()["cancelled"] == 1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
