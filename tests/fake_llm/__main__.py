"""`python -m tests.fake_llm --port 9100 --tokens-per-second 20`: the endpoint as a command."""

from __future__ import annotations

import argparse
import asyncio
import signal
from typing import Any

import uvloop

from tests.fake_llm.behaviour import Behaviour
from tests.fake_llm.server import FakeLLM


def main() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(vars(_parser().parse_args())))


async def _serve(options: dict[str, Any]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with FakeLLM(**options) as llm:
        print(f"fake LLM endpoint at {llm.base_url}", flush=True)
        await stopped.wait()


def _parser() -> argparse.ArgumentParser:
    """One option per control field, with its default."""
    parser = argparse.ArgumentParser(prog="python -m tests.fake_llm", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    for name, default in Behaviour().as_dict().items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(default, tuple):
            default = ",".join(default)
        if isinstance(default, bool):
            parser.add_argument(option, action=argparse.BooleanOptionalAction, default=default)
        else:
            parser.add_argument(option, type=type(default), default=default)
    return parser


if __name__ == "__main__":
    main()
