"""Clients that send at a steady rate and read whether their own whole answer comes back."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.contenders import MODEL, Contender
from benchmarks.field.ways import LAST_WORD

PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One request: `fault` is empty when its whole answer came."""

    at: float
    seconds: float
    streamed: bool
    fault: str = ""


async def send(contender: Contender, *, rate: float, seconds: float, seed: int) -> list[Outcome]:
    """Requests at `rate` a second with gaps at random; half of them ask for a stream."""
    chance, began = random.Random(seed), time.monotonic()
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    running = []
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        due = began
        while due < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            streamed = chance.random() < 0.5
            running.append(asyncio.create_task(_one(session, contender, streamed, due - began)))
            due += chance.expovariate(rate)
        return list(await asyncio.gather(*running))


async def _one(
    session: aiohttp.ClientSession, contender: Contender, streamed: bool, at: float
) -> Outcome:
    mark, began = f"mark-{secrets.token_hex(8)}", time.monotonic()
    message = {"role": "user", "content": f"Please repeat {mark}."}
    body = {"model": MODEL, "messages": [message], "stream": streamed}
    headers = {"Authorization": f"Bearer {contender.api_key}"}
    try:
        async with session.post(contender.chat_url, json=body, headers=headers) as response:
            text = await response.text()
            fault = "" if response.status == 200 else f"{response.status} {text[:200]}"
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
        text, fault = "", type(error).__name__
    fault = fault or _fault(text, mark, streamed)
    return Outcome(at, time.monotonic() - began, streamed, fault)


def _fault(text: str, mark: str, streamed: bool) -> str:
    """What is wrong with an answer; empty if it is whole and its own."""
    try:
        said = _streamed(text) if streamed else _plain(json.loads(text)["choices"][0]["message"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        return f"unreadable: {error!r}: …{text[-200:]}"
    if said.count(mark) != 1 or not said.endswith(LAST_WORD):
        return f"not its answer: {said[:200]}"
    return ""


def _streamed(text: str) -> str:
    *events, end = [each for each in text.strip().split("\n\n") if not each.startswith(":")]
    if end != "data: [DONE]":
        raise ValueError("no end")
    said = []
    for each in events:
        chunk: dict[str, Any] = json.loads(each.removeprefix("data: "))
        if "error" in chunk:
            raise ValueError("error")
        said += [_plain(choice.get("delta") or {}) for choice in chunk["choices"]]
    return "".join(said)


def _plain(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, list):
        return "".join(part["text"] for part in content)
    return str(content)
