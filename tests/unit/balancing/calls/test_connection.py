"""Answers at the edge of HTTP, and kept-alive connections that the endpoint closes."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from balancing.calls import reading
from balancing.calls.answer import Answer
from balancing.calls.client import Client
from balancing.errors import Broken, CallError, TooLarge, Unavailable, Unparsable
from llmqueue_project.config import configuration
from tests.unit.balancing.calls.fed import frames
from tests.unit.balancing.calls.scripted import (
    ANSWER,
    DELTA,
    LAST,
    SSE,
    Chunks,
    chat,
    failure,
    failure_of,
    from_script,
    quick,
    response,
    scripted,
    target,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BODY = ANSWER.encode()
SIZED = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunked(*parts: bytes) -> bytes:
    return CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


@asynccontextmanager
async def serving(*answers: list[bytes | float]) -> AsyncIterator[tuple[str, list[int]]]:
    """An endpoint whose connections live on; each answers its calls in turn, then closes.

    An answer is a list of bytes to send and seconds to wait. Also the number of calls that came.
    """
    calls = [0]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            for answer in answers:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                calls[0] += 1
                for step in answer:
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    else:
                        await asyncio.sleep(step)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", calls


async def answered(client: Client, *steps: bytes | float, stream: bool = False) -> Answer:
    async with serving(list(steps)) as (url, _):
        return await client.call(target(url), chat(stream=stream), Chunks())


class TestHeads:
    async def test_headers_of_many_kilobytes(self, client: Client) -> None:
        """X15"""
        answer = await from_script(client, response(ANSWER, X_Policy="p" * 30_000))

        assert answer.text == "hi"

    @pytest.mark.parametrize("status", ["201 Created", "203 From Cache"])
    async def test_other_statuses_of_success(self, client: Client, status: str) -> None:
        assert (await from_script(client, response(ANSWER, status=status))).text == "hi"

    async def test_one_length_told_twice(self, client: Client) -> None:
        """X15"""
        answer = await answered(client, HEAD + SIZED + SIZED + b"\r\n" + BODY)

        assert answer.text == "hi"

    async def test_two_lengths(self, client: Client) -> None:
        """X15"""
        data = HEAD + SIZED + b"Content-Length: 5\r\n\r\n" + BODY

        error = await failure_of(client, data)

        assert (type(error), error.code, error.repeatable) == (Unparsable, "bad_http", False)

    async def test_a_compression_that_nobody_asked_for(self, client: Client) -> None:
        """X15"""
        error = await failure_of(client, response(b"\x0b\x02\x80", Content_Encoding="br"))

        assert (type(error), error.code) == (Unparsable, "content_encoding")

    @pytest.mark.parametrize("labels", [{}, {"Content_Encoding": "x-gzip"}])
    @pytest.mark.parametrize("size", [1, 7, 1000])
    async def test_a_compression_without_its_label(
        self, client: Client, labels: dict[str, str], size: int
    ) -> None:
        """A9: the bytes decide."""
        packed = response(gzip.compress(BODY), **labels)
        at = packed.index(b"\r\n\r\n") + 4 + size

        async with scripted(packed[:at], packed[at:]) as (url, _):
            answer = await client.call(target(url), chat(), Chunks())

        assert answer.text == "hi"

    async def test_a_label_without_its_compression(self, client: Client) -> None:
        """X15"""
        error = await failure_of(client, response(BODY, Content_Encoding="gzip"))

        assert (type(error), error.code) == (Unparsable, "content_encoding")

    @pytest.mark.parametrize("surplus", [b"\r\n", b"  ", b"more", b"HTTP/1.1 200 OK\r\n"])
    @pytest.mark.parametrize("keeps", [b"", b"Connection: close\r\n"])
    async def test_bytes_behind_the_answer(
        self, client: Client, surplus: bytes, keeps: bytes
    ) -> None:
        """X15"""
        answer = await answered(client, HEAD + keeps + SIZED + b"\r\n" + BODY + surplus)

        assert answer.text == "hi"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_compressed_answer(self, client: Client, stream: bool) -> None:
        data = gzip.compress(frames(DELTA, LAST) if stream else BODY)

        answer = await from_script(client, response(data, Content_Encoding="gzip"), stream=stream)

        assert answer.text == "hi"

    async def test_a_compressed_answer_that_grows_without_bound(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limited = configuration().balancing.model_copy(update={"largest_answer_bytes": 2**20})
        monkeypatch.setattr(configuration(), "balancing", limited)
        bomb = zlib.compress(b" " * 50_000_000)

        error = await failure_of(client, response(bomb, Content_Encoding="deflate"))

        assert isinstance(error, Broken | TooLarge)


class TestBodies:
    async def test_a_bad_chunk_size_ends_at_once(self, client: Client) -> None:
        good = chunked(frames(DELTA, done=False))

        async with serving([good, 0.02, b"zz\r\nwhat\r\n", 30.0]) as (url, _):
            async with asyncio.timeout(2):
                error = await failure(client, target(url), chat(stream=True))

        assert (type(error), error.code) == (Broken, "broken")

    @pytest.mark.parametrize("end", [b"", b"zz\r\n"])
    async def test_a_finished_stream_whose_end_is_lost(self, client: Client, end: bytes) -> None:
        """X16"""
        data = chunked(frames(DELTA, LAST, done=False)) + end

        answer = await from_script(client, data, stream=True)

        assert answer.text == "hi"

    @pytest.mark.parametrize("parts", [1, 3])
    async def test_fewer_bytes_than_announced(self, client: Client, parts: int) -> None:
        data = HEAD + b"Content-Length: %d\r\n\r\n" % (len(BODY) + 50) + BODY
        size = len(data) // parts + 1
        cut = [data[at : at + size] for at in range(0, len(data), size)]

        answer = await answered(client, *[step for part in cut for step in (part, 0.01)])

        assert answer.text == "hi"

    @pytest.mark.parametrize("ping", [b"", b" ", b"\n"])
    async def test_a_whole_answer_whose_end_does_not_come(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, ping: bytes
    ) -> None:
        monkeypatch.setattr("balancing.calls.whole.GRACE_SECONDS", 0.1)
        data = HEAD + b"Content-Length: %d\r\n\r\n" % (len(BODY) + 50) + BODY

        async with asyncio.timeout(2):
            answer = await answered(
                client, data, *[step for _ in range(49) for step in (ping, 0.05)]
            )

        assert answer.text == "hi"

    @pytest.mark.parametrize("ping", [b"", b": ping\n\n", b'data: {"choices":[]}\n\n'])
    async def test_a_finished_stream_whose_end_does_not_come(
        self, client: Client, monkeypatch: pytest.MonkeyPatch, ping: bytes
    ) -> None:
        """X16"""
        monkeypatch.setattr("balancing.calls.stream.GRACE_SECONDS", 0.1)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {SSE}\r\n\r\n".encode()
        pings = [step for _ in range(100) for step in (ping, 0.05)]

        async with asyncio.timeout(2):
            answer = await answered(
                client, head + frames(DELTA, LAST, done=False), *pings, stream=True
            )

        assert answer.text == "hi"

    async def test_behind_the_token_counts_nothing_is_waited_for(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """X16"""
        monkeypatch.setattr("balancing.calls.stream.GRACE_SECONDS", 60)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {SSE}\r\n\r\n".encode()
        usage = frames({"choices": [], "usage": {"prompt_tokens": 7}}, done=False)
        pings = [step for _ in range(100) for step in (b": ping\n\n", 0.05)]

        async with asyncio.timeout(2):
            answer = await answered(
                client, head + frames(DELTA, LAST, done=False) + usage, *pings, stream=True
            )

        assert (answer.text, answer.prompt_tokens) == ("hi", 7)

    async def test_usage_behind_the_finish_reason_is_waited_for(self, client: Client) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {SSE}\r\n\r\n".encode()
        usage = frames({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})

        answer = await answered(
            client, head + frames(DELTA, LAST, done=False), 0.1, usage, stream=True
        )

        assert answer.prompt_tokens == 7

    async def test_bytes_that_arrive_are_progress(self, client: Client) -> None:
        """X2"""
        call = chat(timeouts=quick(first_token=0.5, stall=0.3))
        drips = [step for _ in range(12) for step in (b" ", 0.05)]
        head = HEAD + b"Content-Length: %d\r\n\r\n" % (len(BODY) + 12)
        half = len(BODY) // 2

        async with serving([head, *drips, BODY[:half], 0.1, BODY[half:]]) as (url, calls):
            answer = await client.call(target(url), call, Chunks())

        assert (answer.text, calls) == ("hi", [1])


class TestStale:
    """A kept-alive connection that the endpoint closes as the next call comes."""

    async def test_the_call_is_made_again_on_a_fresh_one(self, client: Client) -> None:
        good: list[bytes | float] = [HEAD + SIZED + b"\r\n" + BODY]

        async with serving(good, []) as (url, calls):
            for _ in range(3):
                assert (await client.call(target(url), chat(), Chunks())).text == "hi"

        assert calls == [5]

    async def test_a_fresh_connection_that_closes_is_a_failure(self, client: Client) -> None:
        async with serving([]) as (url, calls):
            error = await failure(client, target(url), chat())

        assert isinstance(error, Unavailable)
        assert calls == [1]

    async def test_what_has_begun_is_not_repeated(self, client: Client) -> None:
        good: list[bytes | float] = [HEAD + SIZED + b"\r\n" + BODY]

        async with serving(good, [b"HTTP/1.1 200"]) as (url, calls):
            await client.call(target(url), chat(), Chunks())
            error: CallError = await failure(client, target(url), chat())

        assert error.retryable
        assert calls == [2]

    async def test_an_endpoint_that_has_worked_on_it_is_not_asked_again(
        self, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("balancing.calls.connection.STALE_SECONDS", 0.05)
        good: list[bytes | float] = [HEAD + SIZED + b"\r\n" + BODY]

        async with serving(good, [0.1]) as (url, calls):
            await client.call(target(url), chat(), Chunks())
            await failure(client, target(url), chat())

        assert calls == [2]


def test_the_grace_is_short() -> None:
    assert 2 <= reading.GRACE_SECONDS <= 5
