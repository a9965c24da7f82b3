"""Group commit: what arrives while one group is under way makes the next.

A lone call never waits for company, and a busy process pays one round trip for many calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

import structlog

log = structlog.get_logger(__name__)
# PostgreSQL takes parameters of at most 1 GB.
MOST_CHARS = 16_000_000

Item = TypeVar("Item")
Result = TypeVar("Result")


_Entry = tuple[Item, asyncio.Future[Result] | None]


class Grouped(Generic[Item, Result]):
    """Calls `flush` with lists of items, one list at a time; each caller gets its own result.

    Args:
        flush: maps n items to n results, or raises: then `alone` decides.
        limit: the longest list.
        size: of an item, in characters; a list ends where its items are `MOST_CHARS` together.
        alone: exceptions after which a failed group is retried item by item, so that one bad
            item does not fail its neighbours.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        limit: int = 256,
        alone: tuple[type[Exception], ...] = (),
        size: Callable[[Item], int] | None = None,
    ) -> None:
        self._flush = flush
        self._limit = limit
        self._alone = alone
        self._size = size
        self._waiting: list[_Entry[Item, Result]] = []
        self._running: asyncio.Task[None] | None = None
        self._newest: asyncio.Future[Result] | None = None

    async def __call__(self, item: Item) -> Result:
        return await self.soon(item)

    def soon(self, item: Item) -> asyncio.Future[Result]:
        """Add an item at once; its result is there later."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._add(item, future)
        self._newest = future
        return future

    async def begun(self) -> None:
        """Wait while what `soon` was given waits itself for its turn."""
        if self._waiting and self._newest is not None and not self._newest.done():
            await asyncio.wait([self._newest])

    def put(self, item: Item) -> None:
        """Add an item whose result nobody waits for; its failure is logged."""
        self._add(item, None)

    def _add(self, item: Item, future: asyncio.Future[Result] | None) -> None:
        self._waiting.append((item, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                count = self._next_count()
                group, self._waiting = self._waiting[:count], self._waiting[count:]
                await self._serve(group)
        finally:
            self._running = None

    def _next_count(self) -> int:
        """How many of those that wait go together: at least one."""
        if self._size is None:
            return self._limit
        chars = 0
        for count, (item, _) in enumerate(self._waiting[: self._limit]):
            chars += self._size(item)
            if chars > MOST_CHARS and count:
                return count
        return self._limit

    async def _serve(self, group: list[_Entry[Item, Result]]) -> None:
        try:
            results = await self._flush([item for item, _ in group])
        except self._alone as error:
            if len(group) == 1:
                _fail(group, error)
            else:
                for entry in group:
                    await self._serve([entry])
        except Exception as error:  # noqa: BLE001 - handed to every caller
            _fail(group, error)
        else:
            for (_, future), result in zip(group, results, strict=True):
                if future is not None and not future.done():
                    future.set_result(result)


def _fail(group: list[_Entry[Item, Result]], error: Exception) -> None:
    for _, future in group:
        if future is None:
            log.error("group.failed", exc_info=error)
        elif not future.done():
            future.set_exception(error)
