"""Answers that are streamed."""

from __future__ import annotations

import asyncio

import orjson

from balancing.calls.answer import Piece
from balancing.calls.client import Client
from tests.fake_llm import FakeLLM
from tests.unit.balancing.calls.scripted import (
    DELTA,
    LAST,
    SSE,
    Chunks,
    chat,
    events,
    from_script,
    response,
    scripted,
    target,
)


class TestStream:
    async def test_chunks_come_as_they_are_and_the_whole_is_put_together(
        self, client: Client, llm: FakeLLM
    ) -> None:
        call, chunks = chat("one two", stream=True), Chunks()

        answer = await client.call(target(llm.base_url), call, chunks)

        assert {chunk["id"] for chunk, _ in chunks.all} == {f"chatcmpl-{call.job_id.hex}"}
        assert chunks.text == answer.text
        assert len(answer.text.split()) == 4
        pieces = [piece for _, piece in chunks.all]
        content = [Piece.CONTENT] * (len(pieces) - 2)
        assert pieces == [Piece.FRAME, *content, Piece.USAGE]
        assert (answer.prompt_tokens, answer.completion_tokens) == (2, 4)
        assert orjson.loads(answer.body)["choices"][0]["finish_reason"] == "stop"

    async def test_it_is_live(self, client: Client, llm: FakeLLM) -> None:
        first = asyncio.Event()
        call = chat("[[tokens=3 stall_after=1]]", stream=True)
        task = asyncio.create_task(
            client.call(target(llm.base_url), call, lambda text, piece: first.set())
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
