"""Celery's queues without a Valkey."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class StubPipeline:
    def __init__(self, queues: StubQueues) -> None:
        self._queues = queues
        self._replies: list[int] = []

    def llen(self, name: str) -> None:
        self._replies.append(self._queues.lengths.get(name, 0))

    def lpush(self, name: str, *values: str) -> None:
        self._queues.lengths[name] = self._queues.lengths.get(name, 0) + len(values)
        self._queues.published[name] = self._queues.published.get(name, 0) + len(values)

    async def execute(self) -> list[int]:
        if self._queues.error is not None:
            raise self._queues.error
        self._queues.sent += 1
        return self._replies


class StubQueues:
    """`lengths` of the queues, `published` tickets by level, pipelines `sent`."""

    def __init__(self, *, error: Exception | None = None, **lengths: int) -> None:
        self.error = error
        self.lengths = lengths
        self.published: dict[str, int] = {}
        self.sent = 0

    @asynccontextmanager
    async def pipeline(self, transaction: bool) -> AsyncIterator[StubPipeline]:
        assert not transaction
        yield StubPipeline(self)
