"""The call to an endpoint: how it is made, ends badly, or is cancelled."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import orjson
import pytest

from balancing.calls.client import Client, upstream
from balancing.errors import Broken, TooLarge, Unavailable
from llmqueue_project.config import configuration
from tests.fake_llm import FakeLLM
from tests.unit.balancing.calls.scripted import (
    ANSWER,
    DELTA,
    LAST,
    Chunks,
    chat,
    events,
    failure,
    failure_of,
    quick,
    response,
    scripted,
    target,
    until,
)

DEEP = b"[" * 400 + b"]" * 400


class TestOddAnswers:
    """What cannot be passed on is the failure of whoever answered so: another one is asked."""

    @pytest.mark.parametrize(
        ("data", "stream"),
        [
            (response(b'{"choices": [{"text": "a"}], "x": %b}' % DEEP), False),
            (events(b'{"choices": [5]}'), True),
            (events(b'{"choices": 5}'), True),
            (events(b'{"choices": [], "x": %b}' % DEEP), True),
        ],
    )
    async def test_it_is_broken(self, client: Client, data: bytes, stream: bool) -> None:
        error = await failure_of(client, data, stream=stream)

        assert isinstance(error, Broken)
        assert error.code == "malformed"


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
            b'{"choices":[{"delta":{"tool_calls":[1]}}]}',
            b'{"choices":[{"delta":{"content":true}}]}',
            b'{"choices":[{"index":[0],"delta":{}}]}',
        ],
    )
    async def test_a_malformed_chunk(self, client: Client, payload: bytes) -> None:
        error = await failure_of(client, events(payload, LAST), stream=True)

        assert isinstance(error, Broken)
        assert error.code == "malformed"

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'"x"', b"{" * 10, b"[1]"])
    async def test_a_malformed_answer(self, client: Client, body: bytes) -> None:
        error = await failure_of(client, response(body))

        assert isinstance(error, Broken)
        assert error.code == "malformed"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_an_answer_without_end(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, stream: bool
    ) -> None:
        limited = configuration().balancing.model_copy(update={"largest_answer_bytes": 1000})
        monkeypatch.setattr(configuration(), "balancing", limited)
        huge = {
            "choices": [
                {"index": 0, "delta": {"content": "x" * 2_000_000}, "finish_reason": "stop"}
            ]
        }
        data = events(huge) if stream else response(orjson.dumps(huge))

        error = await failure_of(client, data, stream=stream)

        assert isinstance(error, TooLarge)
        assert not error.retryable
        assert "largest_answer_bytes" in error.public


class TestCredential:
    async def test_it_comes_from_the_named_variable(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LLM_GPU_KEY", "s3cret")

        async with scripted(response(ANSWER)) as (url, requests):
            await client.call(target(url, "LLM_GPU_KEY"), chat(), Chunks())

        assert b"Authorization: Bearer s3cret\r\n" in requests[0]

    async def test_without_a_variable_none_is_sent(self, client: Client) -> None:
        async with scripted(response(ANSWER)) as (url, requests):
            await client.call(target(url), chat(), Chunks())

        assert b"authorization" not in requests[0].lower()

    async def test_cookies_are_not_kept(self, client: Client) -> None:
        async with scripted(response(ANSWER, Set_Cookie="a=b")) as (url, requests):
            for _ in range(2):
                await client.call(target(url), chat(), Chunks())

        assert b"cookie" not in requests[1].lower()


class TestMember:
    async def test_it_is_called_at_its_address_by_its_groups_name(self, client: Client) -> None:
        async with scripted(response(ANSWER)) as (url, requests):
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
