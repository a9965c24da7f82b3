"""Every phase of a call has its own end; a healthy answer is cut by none."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from balancing.calls.client import Client
from balancing.calls.timer import CallTimer
from balancing.errors import DeadlinePassed, TimedOut
from balancing.kinds.call import Timeouts
from tests.fake_llm import FakeLLM
from tests.field import examples
from tests.unit.balancing.calls.scripted import (
    DELTA,
    LAST,
    SSE,
    Chunks,
    chat,
    events,
    failure,
    quick,
    response,
    target,
)

WHOLE = response(orjson.dumps({"choices": [{"index": 0, "message": {"content": "hi"}}]}))


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

    async def test_first_token(self, client: Client, llm: FakeLLM) -> None:
        call = chat("[[latency=5]]", stream=True, timeouts=quick(first_token=0.1))

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
        assert (error.code, error.retryable) == ("total_timeout", True)

    async def test_slow_but_steady_is_in_time(self, client: Client, llm: FakeLLM) -> None:
        timeouts = quick(first_token=0.3, stall=0.3)

        answer = await client.call(
            target(llm.base_url),
            chat("[[tokens=20 tps=40]]", stream=True, timeouts=timeouts),
            Chunks(),
        )

        assert len(answer.text.split()) == 20, "half a second in all: no single wait is too long"


@asynccontextmanager
async def dripping(*parts: bytes, pause: float) -> AsyncIterator[str]:
    """An endpoint that waits before each part of its answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            for part in parts:
                await asyncio.sleep(pause)
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"


class TestHealthyAnswers:
    """Each of these answers takes longer than any limit of silence."""

    IMPATIENT = quick(first_token=0.05, stall=0.05)

    async def test_an_unstreamed_answer_after_long_silence(
        self, client: Client, llm: FakeLLM
    ) -> None:
        call = chat("[[latency=0.15]]", timeouts=self.IMPATIENT)

        answer = await client.call(target(llm.base_url), call, Chunks())

        assert len(answer.text.split()) == 4

    async def test_an_unstreamed_answer_that_drips_in(self, client: Client) -> None:
        """X2: headers at once, white space as a heartbeat, silence beyond the limit."""
        head, _, body = WHOLE.partition(b"\r\n\r\n")
        padded = head.replace(str(len(body)).encode(), str(len(body) + 3).encode())
        drops = [padded + b"\r\n\r\n", b" ", b" ", b" ", body[:9], body[9:]]

        async with dripping(*drops, pause=0.06) as url:
            answer = await client.call(target(url), chat(timeouts=self.IMPATIENT), Chunks())

        assert answer.text == "hi"

    async def test_a_stream_that_pings_before_and_between_its_tokens(self, client: Client) -> None:
        head, _, body = events(DELTA, LAST).partition(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: " + SSE.encode() + b"\r\nConnection: close"
        first, rest = body[: body.index(b"\n\n") + 2], body[body.index(b"\n\n") + 2 :]
        pings = [b": ping\n\n", b"\n", b" "] * 3
        parts = [head + b"\r\n\r\n", *pings, b"\n", first, *pings, b"\n", rest]
        chunks = Chunks()

        async with dripping(*parts, pause=0.03) as url:
            call = chat(stream=True, timeouts=quick(first_token=0.25, stall=0.25))
            answer = await client.call(target(url), call, chunks)

        assert answer.text == chunks.text == "hi"


class TestDeadline:
    async def test_it_ends_a_stream_that_only_pings(self, client: Client) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {SSE}\r\n\r\n".encode()

        async with dripping(head, *[b": ping\n\n"] * 200, pause=0.02) as url:
            call = chat(stream=True, timeouts=quick(deadline=0.2, stall=0.1))
            error = await failure(client, target(url), call)

        assert isinstance(error, DeadlinePassed)

    @pytest.mark.parametrize("stream", [False, True])
    async def test_it_is_never_the_endpoints_fault(
        self, client: Client, llm: FakeLLM, stream: bool
    ) -> None:
        """B5: the timer may fire some milliseconds early. By its clock one in eight did."""
        call = chat("[[latency=5]]", stream=stream, timeouts=quick(deadline=0.005))

        for _ in range(20):
            error = await failure(client, target(llm.base_url), call)
            assert isinstance(error, DeadlinePassed)
            assert not error.retryable

    async def test_a_shorter_limit_of_the_endpoint_is_its_fault(
        self, client: Client, llm: FakeLLM
    ) -> None:
        call = chat("[[latency=5]]", timeouts=quick(total=0.05, deadline=0.06))

        error = await failure(client, target(llm.base_url), call)

        assert error.code == "total_timeout"


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer: nobody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        timers = [each for each in self._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        if not self._ready and timers:  # type: ignore[attr-defined]
            self.now = max(self.now, min(each.when() for each in timers))
        super()._run_once()  # type: ignore[misc]


def expected(limits: Timeouts, gaps: Sequence[float]) -> str:
    """The reference: headers after the first gap, a byte after each further one."""
    at, silence, code = 0.0, limits.first_token, "first_token_timeout"
    whole = "deadline" if limits.deadline <= limits.total else "total_timeout"
    for number, gap in enumerate(gaps):
        end = min(limits.total, limits.deadline)
        if at + gap > min(end, at + silence):
            return code if at + silence < end else whole
        at += gap
        if number:
            silence, code = limits.stall, "stalled"
    return "answered"


async def observed(limits: Timeouts, gaps: Sequence[float]) -> str:
    timer = CallTimer(limits)
    try:
        async with timer.timeout:
            for number, gap in enumerate(gaps):
                await asyncio.sleep(gap)
                (timer.progressed if number else timer.accepted)()
    except TimeoutError:
        return timer.error().code
    return "answered"


LIMITS = some.sampled_from([2.0, 5.0, 20.0, 60.0, math.inf])


@settings(max_examples=examples(60, 5_000), deadline=None)
@given(
    some.builds(Timeouts, some.just(1.0), LIMITS, LIMITS, LIMITS, LIMITS),
    # Never as long as a limit: what happens in one moment may happen in either order.
    some.lists(some.integers(0, 12).map(lambda n: n * 1.7 + 0.013), min_size=1, max_size=20),
)
def test_any_course_of_a_call_ends_by_the_limit_that_passed(
    limits: Timeouts, gaps: list[float]
) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(observed(limits, gaps)) == expected(limits, gaps)
