"""The endpoint in a thread of its own, for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tests.fake_llm.server import FakeLLM

T = TypeVar("T")
# So large a batch slows no stream, but a change of its pace counts for those that run, too.
ALONE = 1_000_000
STANDSTILL = 0.001


class RunningFakeLLM:
    """A handle on the endpoint's loop: every call returns when the endpoint has done it."""

    def __init__(self, llm: FakeLLM, loop: asyncio.AbstractEventLoop) -> None:
        self._llm = llm
        self._loop = loop

    @property
    def url(self) -> str:
        return self._llm.url

    @property
    def base_url(self) -> str:
        return self._llm.base_url

    @property
    def port(self) -> int:
        return self._llm.port

    def control(self, **fields: Any) -> None:
        async def change() -> None:
            self._llm.control(**fields)

        self._run(change())

    def hold(self) -> None:
        """Keep what arrives from now on, and what came since a `hold` or `release`, from ending."""
        self.control(batch=ALONE, tokens_per_second=STANDSTILL)

    def release(self, tokens_per_second: float) -> None:
        """Let what is held, and what arrives from now on, go on at this pace."""
        self.control(batch=ALONE, tokens_per_second=tokens_per_second)

    def stats(self) -> dict[str, Any]:
        async def read() -> dict[str, Any]:
            return self._llm.stats()

        return self._run(read())

    def stop(self) -> None:
        """An outage: connections break, new ones are refused until `start`."""
        self._run(self._llm.stop())

    def start(self) -> None:
        self._run(self._llm.start())

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout=10)


@contextmanager
def running_fake_llm(**fields: Any) -> Iterator[RunningFakeLLM]:
    """An endpoint on a free port (or `port=`); keyword arguments are those of `FakeLLM`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="fake-llm", daemon=True)
    thread.start()
    running = RunningFakeLLM(FakeLLM(**fields), loop)
    try:
        running.start()
        yield running
        running.stop()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()
