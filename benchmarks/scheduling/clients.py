"""Clients of llmqueue that send at the trace's instants, whether or not answers come back."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from benchmarks.contenders import MODEL, Contender
from benchmarks.scheduling.plan import Scenario
from benchmarks.scheduling.records import Promise, Record, prompt

COMMENT = re.compile(rb": queued position=\d+ eta=([\d.]+)s")
PATIENCE_SECONDS = 120.0
Say = Callable[[float, list[Record]], None]


@dataclass(frozen=True, slots=True)
class Manner:
    """How requests are sent: `level` and `flow` as the trace has them, or all alike."""

    alike: bool = False

    def headers(self, record: Record, contender: Contender) -> dict[str, str]:
        request = record.request
        key = contender.api_key if self.alike else contender.keys.get(request.flow)
        return {
            "Authorization": f"Bearer {key or contender.api_key}",
            "Content-Type": "application/json",
            "X-Priority": "normal" if self.alike else request.level,
        }

    def way(self, record: Record) -> str:
        return "plain" if self.alike else record.request.way


async def replay(
    contender: Contender, scenario: Scenario, manner: Manner, *, cut: bool, say: Say
) -> tuple[list[Record], float, float | None]:
    """Send everything; the records, the start (monotonic) and when it was cut, if it was."""
    records = [Record(request) for request in scenario.requests]
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        start = time.monotonic() + 0.1
        clients = _Clients(session, contender, manner, start)
        tasks = []
        for record in records:
            ahead = start + record.request.at - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            tasks.append(asyncio.create_task(clients.send(record)))
            say(time.monotonic() - start, records)
        stopped = time.monotonic() - start if cut else None
        waiting = set(tasks)
        if not cut:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while waiting and time.monotonic() < deadline:
                _, waiting = await asyncio.wait(waiting, timeout=1.0)
                say(time.monotonic() - start, records)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return records, start, stopped


class _Clients:
    def __init__(
        self, session: aiohttp.ClientSession, contender: Contender, manner: Manner, start: float
    ) -> None:
        self._session = session
        self._contender = contender
        self._manner = manner
        self._start = start
        self._root = contender.base_url.removesuffix("/v1")

    async def send(self, record: Record) -> None:
        ways = {"plain": self._plain, "stream": self._stream, "rest": self._rest}
        headers = self._manner.headers(record, self._contender)
        try:
            await ways[self._manner.way(record)](record, headers)
        except (aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            record.error = repr(error)

    def _now(self) -> float:
        return time.monotonic() - self._start

    async def _plain(self, record: Record, headers: Mapping[str, str]) -> None:
        async with self._chat(record, headers, stream=False) as response:
            body = await response.read()
            if self._is_fine(record, response.status, body):
                record.answered = self._now()
                if not orjson.loads(body)["choices"]:
                    record.error = "no answer in the answer"

    async def _stream(self, record: Record, headers: Mapping[str, str]) -> None:
        done = False
        async with self._chat(record, headers, stream=True) as response:
            if response.status != 200:
                self._is_fine(record, response.status, await response.read())
                return
            async for line in response.content:
                if (found := COMMENT.match(line)) and not record.promises:
                    record.promises.append(Promise(self._now(), float(found[1]), "/v1 comment"))
                done = done or line.startswith(b"data: [DONE]")
        record.answered = self._now()
        if not done:
            record.error = "the stream broke off"

    def _chat(self, record: Record, headers: Mapping[str, str], *, stream: bool) -> Any:
        message = {"role": "user", "content": prompt(record.request)}
        body = orjson.dumps({"model": MODEL, "messages": [message], "stream": stream})
        record.sent = self._now()
        return self._session.post(self._contender.chat_url, data=body, headers=headers)

    async def _rest(self, record: Record, headers: Mapping[str, str]) -> None:
        fields = {
            "user_id": f"user-{record.request.number % 50}",
            "content": prompt(record.request),
            "priority": headers["X-Priority"],
            "model": MODEL,
        }
        record.sent = self._now()
        url = f"{self._root}/api/v1/messages"
        async with self._session.post(url, data=orjson.dumps(fields), headers=headers) as response:
            body = await response.read()
            if not self._is_fine(record, response.status, body, accepted=201):
                return
        message = orjson.loads(body)["data"]
        self._note(record, message["estimated_wait"], "estimated_wait")
        await self._follow(record, message["id"], headers)

    def _note(self, record: Record, seconds: float | None, way: str) -> None:
        """A promise; null is none."""
        if seconds is not None:
            record.promises.append(Promise(self._now(), seconds, way))

    async def _follow(self, record: Record, name: str, headers: Mapping[str, str]) -> None:
        """The message's events to the last one; the first tells what to expect."""
        event = b""
        url = f"{self._root}/api/v1/messages/{name}/events"
        async with self._session.get(url, headers=headers) as response:
            async for line in response.content:
                if line.startswith(b"event: "):
                    event = line[7:].strip()
                elif event == b"queued" and b'"eta"' in line and len(record.promises) <= 1:
                    eta = orjson.loads(line.removeprefix(b"data: "))["eta"]
                    self._note(record, eta, "/events eta")
        record.answered = self._now()
        if event != b"completed":
            record.error = f"the events ended with {event!r}"

    def _is_fine(self, record: Record, status: int, body: bytes, accepted: int = 200) -> bool:
        """Whether it was accepted; a refusal by admission is no error."""
        if status in (429, 503):
            record.refused = True
        elif status != accepted:
            record.error = f"{status} {body[:200]!r}"
        return status == accepted
