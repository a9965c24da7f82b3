"""Six fake endpoints in one process, as unequal as the simulated ones.

`python -m benchmarks.balancing.fleet 9001 9002 ...`: a port each. The machine is that of
`machine.py`: the same pace, the same batch, in real time.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.balancing.machine import BATCH, TOKEN_SECONDS
from benchmarks.balancing.scenarios import SLOTS, SPEEDS
from benchmarks.contenders import MODEL, Contender, plain_environment
from benchmarks.processes import Process
from llmqueue_project.embedded.ports import free_port
from tests.fake_llm import FakeLLM

Call = tuple[str, float, float | None]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The running endpoints, told what to do over HTTP."""

    ports: Sequence[int]
    pid: int

    @property
    def contender(self) -> Contender:
        return Contender("fleet", f"http://127.0.0.1:{self.ports[0]}/v1", parts={"fleet": self.pid})

    def declared(self) -> str:
        """As llmqueue's setting `endpoints` has them; weights are what an operator knows."""
        return json.dumps(
            [
                {
                    "name": f"e{place}",
                    "base_url": f"http://127.0.0.1:{port}/v1",
                    "models": [MODEL],
                    "weight": speed,
                    "max_concurrent": SLOTS,
                }
                for place, (port, speed) in enumerate(zip(self.ports, SPEEDS, strict=True))
            ]
        )

    def change(self, place: int, *, slowdown: float = 1.0, failing: float = 0.0) -> None:
        """Another pace, at once; a share of the calls from now on fails."""
        pace = SPEEDS[place] / (TOKEN_SECONDS * slowdown)
        self._ask(place, "control", {"tokens_per_second": pace, "fail_rate": failing})

    def journal(self) -> list[list[Call]]:
        """By endpoint, the calls since the last time; only those that were not refused."""
        return [self._ask(place, "journal") for place in range(len(self.ports))]

    def requests(self) -> list[int]:
        """By endpoint, calls so far, failed ones included."""
        return [int(self._ask(place, "stats")["requests"]) for place in range(len(self.ports))]

    def _ask(self, place: int, path: str, fields: dict[str, Any] | None = None) -> Any:
        url = f"http://127.0.0.1:{self.ports[place]}/{path}"
        body = None if fields is None else json.dumps(fields).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10) as response:
            return json.load(response)


@contextmanager
def fleet(directory: Path) -> Iterator[Fleet]:
    ports = [free_port() for _ in SPEEDS]
    command = [sys.executable, "-m", "benchmarks.balancing.fleet", *map(str, ports)]
    log = directory / "fleet.log"
    with Process("fleet", command, log=log, environment=plain_environment()) as process:
        for port in ports:
            process.wait_until_answering(f"http://127.0.0.1:{port}/health", seconds=20)
        yield Fleet(ports, process.pid)


async def _serve(ports: Sequence[int]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        for port, speed in zip(ports, SPEEDS, strict=True):
            pace = speed / TOKEN_SECONDS
            endpoint = FakeLLM(port=port, models=(MODEL,), tokens_per_second=pace, batch=BATCH)
            await stack.enter_async_context(endpoint)
        await stopped.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve([int(port) for port in sys.argv[1:]]))
