"""The load generator against the fake endpoint: it must count right, or every figure is wrong."""

from dataclasses import replace

import pytest

from benchmarks.callers import tokens_in
from benchmarks.load import Plan, percentile, run
from benchmarks.wire import Chunked
from tests.fake_llm import FakeLLM

PLAN = Plan(
    url="",
    model="fake-model",
    api_key="key",
    connections=2,
    warmup=0.1,
    seconds=0.3,
    calls=0,
    tokens=0,
    rate=200.0,
)


async def test_whole_answers_are_counted() -> None:
    async with FakeLLM(tokens=3) as llm:
        figures = await run(replace(PLAN, url=f"{llm.base_url}/chat/completions"))

        assert llm.stats()["completed"] >= figures["answers"] > 10
    assert figures["errors"] == 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]


async def test_calls_end_the_window_early() -> None:
    async with FakeLLM() as llm:
        url = f"{llm.base_url}/chat/completions"
        figures = await run(replace(PLAN, url=url, seconds=30.0, calls=5))

    assert figures["answers"] >= 5
    assert figures["seconds"] < 5


async def test_tokens_of_streams_are_counted_as_they_arrive() -> None:
    async with FakeLLM() as llm:
        url = f"{llm.base_url}/chat/completions"
        figures = await run(replace(PLAN, url=url, tokens=20, seconds=1.0))

        assert llm.stats()["cancelled"] == 0
    assert figures["errors"] == figures["short"] == 0
    assert 200 < figures["tokens_per_second"] <= 420
    assert 0 < figures["first_token_p50_ms"] < 100


async def test_failures_are_errors() -> None:
    async with FakeLLM(fail_rate=1.0, latency=0.01) as llm:
        url = f"{llm.base_url}/chat/completions"
        whole = await run(replace(PLAN, url=url))
        streamed = await run(replace(PLAN, url=url, tokens=5))

    assert whole["errors"] == whole["answers"] > 0
    assert streamed["errors"] == streamed["answers"] > 0


async def test_broken_connections_are_errors_and_made_again() -> None:
    async with FakeLLM(break_after=0, latency=0.01) as llm:
        figures = await run(replace(PLAN, url=f"{llm.base_url}/chat/completions", seconds=0.5))

    assert figures["answers"] == 0
    assert figures["errors"] > 2


@pytest.mark.parametrize("cut", range(1, 24))
def test_chunks_may_be_cut_anywhere(cut: int) -> None:
    pieces: list[bytes] = []
    wire = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"
    body = Chunked(pieces.append)

    ends = [body.feed(wire[:cut]), body.feed(wire[cut:])]

    assert b"".join(pieces) == b"hello world"
    assert ends == [False, True]


def test_tokens_are_counted_by_their_spaces() -> None:
    event = b'data: {"choices":[{"delta":{"content":"one two "}}]}'

    assert tokens_in(event) == 2
    assert tokens_in(b": queued position=3") == 0
    assert tokens_in(b"data: [DONE]") == 0
    assert tokens_in(b'data: {"error":{"message":"no"}}') == 0


def test_percentile() -> None:
    assert percentile([], 0.5) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([1.0, 2.0], 0.99) == 2.0
