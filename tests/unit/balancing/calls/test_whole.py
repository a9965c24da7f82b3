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
        ("choice", "text"),
        [
            ({"message": "t"}, "t"),
            ({"text": "t"}, "t"),
            ({"message": {"role": "assistant", "content": 42}}, "42"),
            ({"message": None, "finish_reason": "content_filter"}, None),
        ],
    )
    async def test_every_choice_has_a_message_that_clients_read(
        self, client: Client, choice: dict[str, Any], text: str | None
    ) -> None:
        answer = await from_script(client, response(orjson.dumps({"choices": [choice]})))

        (told,) = orjson.loads(answer.body)["choices"]
        assert told["message"] == {"role": "assistant", "content": text}
        assert answer.text == (text or "")

    async def test_an_endpoint_that_does_not_stream_gives_chunks(self, client: Client) -> None:
        message = {"role": "assistant", "content": "all"}
        whole: dict[str, Any] = {
            "id": "1",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 1},
        }
        chunks = Chunks()

        async with scripted(response(orjson.dumps(whole))) as (url, _):
            answer = await client.call(target(url), chat(stream=True), chunks)

        (content, said), (end, ended), (counts, counted) = chunks.all
        assert {chunk["object"] for chunk, _ in chunks.all} == {"chat.completion.chunk"}
        assert content["choices"][0]["delta"] == message
        assert content["choices"][0]["finish_reason"] is None
        assert end["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        assert (counts["choices"], counts["usage"]) == ([], whole["usage"])
        assert (said, ended, counted) == (Piece.CONTENT, Piece.CONTENT, Piece.USAGE)
        assert answer.text == "all"
