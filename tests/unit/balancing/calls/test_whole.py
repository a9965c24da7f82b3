"""Answers that come in one piece."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import orjson
import pytest

from balancing.calls.answer import Piece
from balancing.calls.client import Client
from balancing.kinds.call import Call
from tests.fake_llm import FakeLLM
from tests.unit.balancing.calls.scripted import (
    PATIENT,
    Chunks,
    chat,
    from_script,
    response,
    scripted,
    target,
)


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

        ((chunk, piece),) = chunks.all
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk["choices"] == [{"index": 0, "finish_reason": "stop", "delta": message}]
        assert (answer.text, piece) == ("all", Piece.CONTENT)
