"""One timer for all streams: what falls due in the same 2 ms runs in one wake-up.

A timer a token would cost more than the token: 600 streams at 50 tokens/s are 30,000
timers a second, but at most 500 wake-ups here.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

TICK_SECONDS = 0.002


class Ticker:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: dict[int, list[Callable[[], None]]] = {}
        self._ticks: list[int] = []
        self._timer: asyncio.TimerHandle | None = None

    def at(self, when: float, callback: Callable[[], None]) -> None:
        """Call `callback` at or up to one tick after `when` (loop time)."""
        tick = int(when / TICK_SECONDS) + 1
        callbacks = self._due.get(tick)
        if callbacks is not None:
            callbacks.append(callback)
            return
        self._due[tick] = [callback]
        heapq.heappush(self._ticks, tick)
        if self._ticks[0] == tick:
            self._arm()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()
        self._ticks.clear()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._ticks[0] * TICK_SECONDS, self._run)

    def _run(self) -> None:
        self._timer = None
        # uvloop's clock has millisecond steps: a timer may fire a little before its time.
        now = int((self._loop.time() + TICK_SECONDS / 2) / TICK_SECONDS)
        while self._ticks and self._ticks[0] <= now:
            for callback in self._due.pop(heapq.heappop(self._ticks)):
                callback()
        if self._ticks:
            self._arm()
