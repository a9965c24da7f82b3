"""The demonstration: real prompts at all four priorities through the running doors.

It sends more low requests than the model has slots, then one of each higher level. The realtime
request comes last and must pass every low one that waits. Like any client it uses only HTTP.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Mapping

import aiohttp

from llmqueue_project.embedded.console import say
from llmqueue_project.embedded.errors import EmbeddedError
from llmqueue_project.embedded.exchange import Client, Exchange
from llmqueue_project.embedded.readiness import http_ok
from llmqueue_project.embedded.state import State

FIRST_QUESTION = "Say hello to a new colleague in one short sentence."
QUESTIONS = {
    "realtime": "What is the capital of France? Answer in one sentence.",
    "high": "Name three colours of the rainbow.",
    "normal": "Wish a friend a happy birthday in one short sentence.",
}
SUBJECTS = ("rain", "bread", "a river", "a bridge", "snow", "the moon", "a clock", "tea", "salt")
# Of different lengths, so that slots become free one after the other.
LOW_TOKENS = (36, 44, 52, 60, 20, 20, 20)
TOKENS = 32
# A fast endpoint has room for all of them; the next round sends twice as many, twice as long.
ROUNDS = 4
ANSWER_SECONDS = 60.0


class Screen:
    """Lines, and one answer at a time as it streams; lines wait until its end."""

    def __init__(self) -> None:
        self._streaming = False
        self._held: list[str] = []

    def line(self, text: str = "") -> None:
        if self._streaming:
            self._held.append(text)
        else:
            say(text)

    def begin(self, question: str) -> None:
        say(f"   {question}")

    def stream(self, text: str) -> None:
        if not self._streaming:
            print("   > ", end="")
        self._streaming = True
        print(text.replace("\n", " "), end="", flush=True)

    def end(self) -> None:
        if self._streaming:
            say()
        self._streaming = False
        for text in self._held:
            say(text)
        self._held.clear()


class Run:
    """The requests of one demonstration, each followed by a task of its own."""

    def __init__(self, screen: Screen) -> None:
        self.exchanges: list[Exchange] = []
        self._screen = screen
        self._tasks: list[asyncio.Task[None]] = []

    def follow(self, stream: AsyncIterator[Exchange]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._consume(stream))
        self._tasks.append(task)
        return task

    async def _consume(self, stream: AsyncIterator[Exchange]) -> None:
        announced = known = False
        async for exchange in stream:
            if not known:
                self.exchanges.append(exchange)
                known = True
            if exchange.position is not None and not announced:
                self._screen.line(f"   {exchange.level} waits: {_place(exchange)}")
                announced = True

    def of(self, level: str) -> list[Exchange]:
        return [one for one in self.exchanges if one.level == level]

    def check(self) -> None:
        """Raise what a task that ended early raised."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def finish(self) -> None:
        await asyncio.gather(*self._tasks)

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def run(exports: Mapping[str, str]) -> int:
    """Show everything; 0 if the order was proved.

    Raises:
        EmbeddedError: a door refused, or an answer did not come.
    """
    try:
        return asyncio.run(_run(exports["LLMQUEUE_URL"], exports["LLMQUEUE_API_KEY"]))
    except TimeoutError:
        raise EmbeddedError(f"an answer did not come within {ANSWER_SECONDS:.0f} s") from None
    except (aiohttp.ClientError, KeyError, ValueError) as error:
        raise EmbeddedError(
            f"the demonstration broke off: {type(error).__name__} {error}"
        ) from error


async def _run(url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=ANSWER_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    screen = Screen()
    demonstration = Run(screen)
    async with aiohttp.ClientSession(
        headers=headers, timeout=timeout, connector=connector
    ) as session:
        try:
            async with asyncio.timeout(ANSWER_SECONDS * 2):
                client = await Client.connect(session, url)
                await _first_answer(client, demonstration, screen)
                for times in (2**number for number in range(ROUNDS)):
                    low = await _fill_with_low(client, demonstration, screen, times)
                    realtime = await _higher_levels(client, demonstration, screen)
                    await demonstration.finish()
                    if len(_waiting(low, realtime)) >= 2:
                        break
                    say("   The endpoint was too fast for anything to wait.")
        finally:
            screen.end()
            await demonstration.cancel()
    _table(demonstration.exchanges)
    return _verdict(low, realtime)


async def _first_answer(client: Client, demonstration: Run, screen: Screen) -> None:
    say(f"\n1. One question to {client.model}, streamed through /v1/chat/completions")
    screen.begin(FIRST_QUESTION)
    stream = client.chat("normal", FIRST_QUESTION, tokens=TOKENS, show=screen.stream)
    await demonstration.follow(stream)
    screen.end()


async def _fill_with_low(
    client: Client, demonstration: Run, screen: Screen, times: int
) -> list[Exchange]:
    """Send more low requests than there are slots; return them when the first one runs."""
    lengths = LOW_TOKENS * times
    say(f"\n2. {len(lengths)} requests of low priority, more than there are slots")
    before = len(demonstration.of("low"))
    for number, tokens in enumerate(lengths):
        question = f"Write a short story about {SUBJECTS[number % len(SUBJECTS)]}."
        demonstration.follow(client.chat("low", question, tokens=tokens * times))
    low: list[Exchange] = []
    while len(low) < len(lengths) or not any(one.started for one in low):
        await asyncio.sleep(0.02)
        demonstration.check()
        low = demonstration.of("low")[before:]
    return low


async def _higher_levels(client: Client, demonstration: Run, screen: Screen) -> Exchange:
    """One of each, the realtime one last; that one when its answer is complete."""
    screen.line("\n3. One normal (REST), one high, and last of all one realtime request")
    demonstration.follow(client.message("normal", QUESTIONS["normal"]))
    demonstration.follow(client.chat("high", QUESTIONS["high"], tokens=TOKENS))
    await asyncio.sleep(0.05)
    screen.begin(QUESTIONS["realtime"])
    await demonstration.follow(
        client.chat("realtime", QUESTIONS["realtime"], tokens=TOKENS, show=screen.stream)
    )
    screen.end()
    return demonstration.of("realtime")[-1]


def _place(one: Exchange) -> str:
    eta = f", estimated wait {one.eta:.1f} s" if one.eta is not None else ""
    return f"position {one.position}{eta}"


def _table(exchanges: list[Exchange]) -> None:
    """In the order in which the model began them."""
    columns = "priority   door         position  estimate    waited  first token   total  tokens"
    say(f"\n   {columns}  answer")
    for one in sorted(exchanges, key=lambda one: one.started_at):
        position = "-" if one.position is None else str(one.position)
        words = " ".join(one.text.split())[:36]
        say(
            f"   {one.level:<9}  {one.door:<11}  {position:>8}  {_seconds(one.eta):>8}"
            f"  {_seconds(one.waited):>8}  {_seconds(one.first_token):>11}"
            f"  {_seconds(one.total):>6}  {one.tokens or 0:>6}  {words}"
        )


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _waiting(low: list[Exchange], realtime: Exchange) -> list[Exchange]:
    """Those that had not begun when the realtime request was sent."""
    return [one for one in low if one.started_at > realtime.sent_at]


def _verdict(low: list[Exchange], realtime: Exchange) -> int:
    """Did the realtime request pass the low ones that waited when it came?

    One may have gone first: the low level's guaranteed share, or a slot given just before.
    """
    waiting = _waiting(low, realtime)
    passed = [one for one in waiting if one.started_at > realtime.started_at]
    say(
        f"\n   The realtime request was sent last, while {len(waiting)} low ones waited: "
        f"it passed {len(passed)} of them."
    )
    if len(waiting) < 2:
        raise EmbeddedError("the endpoint took every request at once: there is no order to show")
    if passed and len(passed) >= len(waiting) - 1:
        return 0
    say("   That is not the promised order: see the table and the worker's log.")
    return 1


def running(state: State) -> dict[str, str] | None:
    """What the stack that runs on this state directory exports, if it answers."""
    try:
        words = shlex.split(state.env.read_text())
    except OSError:
        return None
    exports = dict(word.split("=", 1) for word in words if "=" in word)
    url = exports.get("LLMQUEUE_URL", "")
    return exports if url and http_ok(f"{url}/health/ready") else None
