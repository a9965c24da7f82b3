"""An endpoint that behaves well, or badly at random: `python -m benchmarks.field.endpoint 9001`.

It writes bytes itself, because no HTTP library sends what it sends.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import signal
import time
from contextlib import suppress
from typing import Any

import uvloop

from benchmarks.contenders import MODEL
from benchmarks.field.ways import FAILING, LASTING, ODD, Asked, Way, well

# Of the calls that are answered badly, so many get no answer at all: more would eject the endpoint
# for most of the time, and nothing would be tried.
FAILING_SHARE = 0.05
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
MARK = re.compile(r"mark-[0-9a-f]+")


class Endpoint:
    """Answers one request a connection.

    Args:
        bad: the share of calls that it answers badly.
        lasting_after: seconds until it refuses also in ways that take it out for long.
    """

    def __init__(self, bad: float, lasting_after: float) -> None:
        self._bad = bad
        self._lasting_at = time.monotonic() + lasting_after
        self._random = random.Random(7)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            found = LENGTH.search(head)
            body = await reader.readexactly(int(found[1])) if found else b""
            await self._answer(body, writer)
        with suppress(ConnectionError):
            writer.close()
            await writer.wait_closed()

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        if not body:
            listed = {"object": "list", "data": [{"id": MODEL, "object": "model"}]}
            await Asked({}, "", writer).sized(json.dumps(listed).encode())
            return
        fields: dict[str, Any] = json.loads(body)
        found = MARK.search(body.decode())
        asked = Asked(fields, found[0] if found else "none", writer)
        if self._random.random() < self._bad:
            await self._bad_way()(asked)
        else:
            await well(asked)

    def _bad_way(self) -> Way:
        if self._random.random() >= FAILING_SHARE:
            return self._random.choice(ODD)
        lasting = LASTING if time.monotonic() > self._lasting_at else []
        return self._random.choice(FAILING + lasting)


async def _serve(port: int, bad: float, lasting_after: float) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    server = await asyncio.start_server(
        Endpoint(bad, lasting_after).serve, "127.0.0.1", port, backlog=1024
    )
    async with server:
        await stopped.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.field.endpoint")
    parser.add_argument("port", type=int)
    parser.add_argument("--bad", type=float, default=0.0, help="share of calls answered badly")
    parser.add_argument("--lasting-after", type=float, default=780.0, help="seconds")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(options.port, options.bad, options.lasting_after))


if __name__ == "__main__":
    main()
