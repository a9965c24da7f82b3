"""Learned limits on real PostgreSQL, Valkey, web and worker, before a small server with a curve.

A fixed limit and the learned one by turns, each on a stack of its own, cold. Callers ask again as
soon as they are answered (a flood), or at random instants.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import orjson
import uvloop

from benchmarks.balancing.crowding import KNEE, SLOTS
from benchmarks.callers import tokens_in
from benchmarks.contenders import MODEL, Contender, plain_environment
from benchmarks.processes import Process, cpu_seconds, machine_cpu_seconds
from benchmarks.report import Row
from benchmarks.stack import Shape, llmqueue
from llmqueue_project.embedded.ports import free_port

STREAMED = 0.8
TOKENS = (1, 60)


@dataclass(frozen=True, slots=True)
class Case:
    """A curve and what is asked of it.

    Attributes:
        slots: the operator's limit; stands for the curve's 200.
        best: the fixed limit beside it.
        per_second: requests a second; 0: a flood.
        goal: of the tokens in each minute, but the first ones that are skipped.
    """

    name: str
    curve: str
    slots: int
    pace: float
    best: int
    seconds: int
    per_second: float = 0.0
    skipped: int = 0
    goal: str = ">= 0.97"


_BEST = 100 * KNEE // SLOTS
CASES = (
    Case("flat, 200 slots, 80/s", "flat", 200, 1.0, 200, 60, 80.0),
    Case("flat, flood", "flat", 100, 0.1, 100, 60),
    Case("batching, flood", "batching", 100, 0.2, 100, 60),
    Case("kneed, flood", "kneed", 100, 1.0, _BEST, 120, skipped=1, goal=">= 0.9"),
)


@dataclass(slots=True)
class Seen:
    """Tokens by second, how long answers took, and what was answered instead.

    `endpoint` and `machine` are shares of a core, of the server and of all processes.
    """

    tokens: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    endpoint: float = 0.0
    machine: float = 0.0

    def minutes(self, seconds: int) -> list[int]:
        return [
            sum(self.tokens[at] for at in range(begin, begin + 60))
            for begin in range(0, seconds - 59, 60)
        ]


def rows() -> list[Row]:
    found = []
    for case in CASES:
        fixed, learned = _run(case, learn=False), _run(case, learn=True)
        found += _rows(case, fixed, learned)
        print("\n".join(f"{row.name}: {row.value:.3f}" for row in found[-7:]), flush=True)
    return found


def _rows(case: Case, fixed: Seen, learned: Seen) -> list[Row]:
    minutes = zip(learned.minutes(case.seconds), fixed.minutes(case.seconds), strict=True)
    ratio = min([a / b for a, b in minutes][case.skipped :])
    name = f"real: {case.name}"
    longest = sorted(learned.seconds)
    return [
        Row(f"{name}: least of minutes / fixed {case.best}", ratio, "", case.goal),
        Row(f"{name}: tokens a second, fixed", sum(fixed.tokens.values()) / case.seconds, ""),
        Row(f"{name}: tokens a second, learned", sum(learned.tokens.values()) / case.seconds, ""),
        Row(f"{name}: answer p99, learned", longest[int(0.99 * (len(longest) - 1))], "s"),
        Row(f"{name}: not answered", learned.problems.total(), "", "== 0"),
        Row(f"{name}: endpoint's core", 100 * learned.endpoint, "%", "<= 50"),
        Row(f"{name}: CPU of all processes", 100 * learned.machine, "% of a core"),
    ]


def _run(case: Case, *, learn: bool) -> Seen:
    limit = case.slots if learn else case.best
    settings = {"LLMQUEUE_BALANCING__LEARN_LIMITS": str(learn).lower()}
    shape = Shape(slots=2 * case.slots, endpoint_slots=limit, settings=settings)
    print(f"{case.name}, {'learned' if learn else 'fixed'}, {case.seconds} s", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        with _endpoint(path, case) as endpoint, llmqueue(path, endpoint, shape) as ours:
            return uvloop.run(_ask(case, ours))


@contextmanager
def _endpoint(directory: Path, case: Case) -> Iterator[Contender]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.balancing.curved", str(port)]
    command += [case.curve, str(case.slots), str(case.pace)]
    log = directory / "curved.log"
    with Process("curved", command, log=log, environment=plain_environment()) as process:
        process.wait_until_answering(f"http://127.0.0.1:{port}/v1/models", seconds=20)
        yield Contender("curved", f"http://127.0.0.1:{port}/v1", parts={"curved": process.pid})


async def _ask(case: Case, ours: Contender) -> Seen:
    seen, rng = Seen(), random.Random(1)
    endpoint = ours.parts["curved"]
    used, all_used = cpu_seconds(endpoint), machine_cpu_seconds()
    began = time.monotonic()
    headers = {"Authorization": f"Bearer {ours.api_key}", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:
        caller = Caller(session, ours.chat_url, seen, rng, began)
        is_over = _over(began + case.seconds)
        if case.per_second:
            tasks = await caller.at_random(case.per_second, is_over)
        else:
            flood = case.slots + case.slots // 2
            tasks = [asyncio.create_task(caller.again(is_over)) for _ in range(flood)]
        await asyncio.sleep(max(0.0, began + case.seconds - time.monotonic()))
        seen.endpoint = (cpu_seconds(endpoint) - used) / case.seconds
        seen.machine = (machine_cpu_seconds() - all_used) / case.seconds
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return seen


def _over(end: float) -> Callable[[], bool]:
    return lambda: time.monotonic() >= end


@dataclass(frozen=True, slots=True)
class Caller:
    session: aiohttp.ClientSession
    url: str
    seen: Seen
    rng: random.Random
    began: float

    async def again(self, is_over: Callable[[], bool]) -> None:
        while not is_over():
            await self.once()

    async def at_random(
        self, per_second: float, is_over: Callable[[], bool]
    ) -> list[asyncio.Task[None]]:
        tasks = []
        while not is_over():
            tasks.append(asyncio.create_task(self.once()))
            await asyncio.sleep(self.rng.expovariate(per_second))
        return tasks

    async def once(self) -> None:
        asked = {
            "model": MODEL,
            "messages": [{"role": "user", "content": "Tell me more."}],
            "max_tokens": self.rng.randint(*TOKENS),
            "stream": self.rng.random() < STREAMED,
        }
        sent = time.monotonic()
        try:
            async with self.session.post(self.url, data=orjson.dumps(asked)) as response:
                if response.status == 200:
                    await self._read(response, asked)
                else:
                    self.seen.problems[str(response.status)] += 1
                    await asyncio.sleep(1.0)
        except (aiohttp.ClientError, OSError) as error:
            self.seen.problems[type(error).__name__] += 1
        self.seen.seconds.append(time.monotonic() - sent)

    async def _read(self, response: aiohttp.ClientResponse, asked: dict[str, object]) -> None:
        if not asked["stream"]:
            answer = orjson.loads(await response.read())
            self._count(answer["usage"]["completion_tokens"])
            return
        async for line in response.content:
            if line.startswith(b"data: {"):
                self._count(tokens_in(line))

    def _count(self, tokens: int) -> None:
        self.seen.tokens[int(time.monotonic() - self.began)] += tokens
