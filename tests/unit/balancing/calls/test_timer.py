"""Every phase of a call has its own end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from balancing.calls.client import Client
from balancing.errors import TimedOut
from tests.fake_llm import FakeLLM
from tests.unit.balancing.calls.scripted import Chunks, chat, failure, quick, target


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
