"""Clients that send a plan's requests at their instants, whether or not answers come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
import orjson

from benchmarks.balancing.fleet import Fleet
from benchmarks.balancing.plans import LEVEL, Plan, prompt
from benchmarks.balancing.simulation import Change
from benchmarks.contenders import MODEL, Contender
from benchmarks.traces import Arrival

PATIENCE_SECONDS = 90.0


@dataclass(slots=True)
class Record:
    """One request; instants are seconds from the run's beginning. `error` is what a client saw."""

    arrival: Arrival
    sent: float = 0.0
    answered: float | None = None
    error: str = ""


async def replay(contender: Contender, fleet: Fleet, plan: Plan) -> tuple[list[Record], float]:
    """Send everything and change the fleet on time; the records, and the start (monotonic)."""
    records = [Record(arrival) for arrival in plan.arrivals()]
    headers = {"Authorization": f"Bearer {contender.api_key}", "X-Priority": LEVEL}
    timeout = aiohttp.ClientTimeout(total=PATIENCE_SECONDS, sock_connect=30)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers
    ) as session:
        start = time.monotonic() + 0.1
        changing = asyncio.create_task(_change(fleet, plan.changes, start))
        tasks = []
        for number, record in enumerate(records):
            await _until(start + record.arrival.ts)
            sending = _send(session, contender.chat_url, number, record, start)
            tasks.append(asyncio.create_task(sending))
        await asyncio.gather(changing, *tasks)
    return records, start


async def _change(fleet: Fleet, changes: Sequence[Change], start: float) -> None:
    for change in changes:
        await _until(start + change.at)
        await asyncio.to_thread(
            fleet.change, change.machine, slowdown=change.slowdown, failing=change.failing
        )


async def _send(
    session: aiohttp.ClientSession, url: str, number: int, record: Record, start: float
) -> None:
    message = {"role": "user", "content": prompt(number, record.arrival)}
    body = orjson.dumps({"model": MODEL, "messages": [message], "stream": True})
    record.sent = time.monotonic() - start
    try:
        headers = {"Content-Type": "application/json"}
        async with session.post(url, data=body, headers=headers) as response:
            record.error = await _problem(response)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        record.error = repr(error)
    record.answered = time.monotonic() - start


async def _problem(response: aiohttp.ClientResponse) -> str:
    """What is wrong with the answer; "" if it came whole."""
    if response.status != 200:
        return f"{response.status} {(await response.read())[:200]!r}"
    is_done, wrong = False, b""
    async for line in response.content:
        is_done = is_done or line.startswith(b"data: [DONE]")
        if line.startswith(b'data: {"error"'):
            wrong = line[:200]
    return repr(wrong) if wrong else "" if is_done else "the stream broke off"


async def _until(instant: float) -> None:
    ahead = instant - time.monotonic()
    if ahead > 0:
        await asyncio.sleep(ahead)
