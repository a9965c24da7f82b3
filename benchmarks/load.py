"""The load generator, a process of its own: `python -m benchmarks.load URL --connections 32`.

Prints `begin` and `end` around the measured window, so that the parent can read other
processes' CPU time at the same moments, then one line of JSON. `--tokens` makes streams.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from dataclasses import dataclass

import uvloop

from benchmarks.callers import Caller, StreamCaller, Tally
from benchmarks.wire import target

DRAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, and for how long."""

    url: str
    model: str
    api_key: str
    connections: int
    warmup: float
    seconds: float
    calls: int
    tokens: int
    rate: float


def main() -> None:
    plan = Plan(**vars(_parser().parse_args()))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(run(plan))), flush=True)


async def run(plan: Plan) -> dict[str, float]:
    tally = Tally()
    callers = [_caller(plan, tally) for _ in range(plan.connections)]
    await asyncio.gather(*(caller.connect() for caller in callers))
    starting = asyncio.ensure_future(_start_staggered(callers, plan.warmup / 2))
    await asyncio.sleep(plan.warmup)
    await starting
    gc.collect()
    gc.freeze()

    print("begin", flush=True)
    cpu, start = time.process_time(), time.perf_counter()
    tally.open = True
    await _until_measured(plan, tally)
    tally.open = False
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    print("end", flush=True)

    await _finish(callers, tally)
    return _figures(tally, seconds, cpu)


def _caller(plan: Plan, tally: Tally) -> Caller:
    where = target(plan.url, _body(plan), api_key=plan.api_key)
    if plan.tokens:
        return StreamCaller(where, tally, tokens=plan.tokens)
    return Caller(where, tally)


def _body(plan: Plan) -> bytes:
    prompt = "What is a durable priority queue?"
    if plan.tokens:
        prompt += f" [[tokens={plan.tokens} tps={plan.rate:g}]]"
    message = {"role": "user", "content": prompt}
    fields = {"model": plan.model, "messages": [message], "stream": bool(plan.tokens)}
    return json.dumps(fields).encode()


async def _start_staggered(callers: list[Caller], seconds: float) -> None:
    """First calls spread over time: streams in lockstep would hide or double the load."""
    pause = seconds / len(callers)
    begun = time.perf_counter()
    for number, caller in enumerate(callers):
        ahead = begun + number * pause - time.perf_counter()
        if ahead > 0.001:
            await asyncio.sleep(ahead)
        caller.call()


async def _until_measured(plan: Plan, tally: Tally) -> None:
    """Until the calls are made, or else the time is over."""
    deadline = time.perf_counter() + plan.seconds
    while time.perf_counter() < deadline:
        if plan.calls and tally.answers >= plan.calls:
            return
        await asyncio.sleep(0.02 if plan.calls else min(0.1, plan.seconds))


async def _finish(callers: list[Caller], tally: Tally) -> None:
    """Let the running requests end, but not for ever."""
    tally.stopping = True
    endings = [asyncio.ensure_future(caller.ended.wait()) for caller in callers]
    _, waiting = await asyncio.wait(endings, timeout=DRAIN_SECONDS)
    for ending in waiting:
        ending.cancel()
    for caller in callers:
        caller.hang_up()


def _figures(tally: Tally, seconds: float, cpu: float) -> dict[str, float]:
    return {
        "seconds": seconds,
        "answers": tally.answers,
        "errors": tally.errors,
        "short": tally.short,
        "answers_per_second": tally.answers / seconds,
        "tokens_per_second": tally.tokens / seconds,
        "p50_ms": percentile(tally.seconds, 0.50) * 1000,
        "p99_ms": percentile(tally.seconds, 0.99) * 1000,
        "first_token_p50_ms": percentile(tally.first_token_seconds, 0.50) * 1000,
        "first_token_p99_ms": percentile(tally.first_token_seconds, 0.99) * 1000,
        "load_cpu_seconds": cpu,
    }


def percentile(values: list[float], share: float) -> float:
    """The smallest value that `share` of all values do not exceed; 0 of none."""
    if not values:
        return 0.0
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("url", help="of /v1/chat/completions")
    parser.add_argument("--model", default="fake-model")
    parser.add_argument("--api-key", default="")
    parser.add_argument("--connections", type=int, default=1)
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds before the window")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the measured window")
    parser.add_argument("--calls", type=int, default=0, help="end after so many answers")
    parser.add_argument("--tokens", type=int, default=0, help="of each stream; 0: whole answers")
    parser.add_argument("--rate", type=float, default=50.0, help="tokens per second of a stream")
    return parser


if __name__ == "__main__":
    main()
