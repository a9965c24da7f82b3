"""The levels' queues without a Valkey."""

from __future__ import annotations

from collections.abc import Mapping

from scheduling.levels import LEVELS


class StubQueues:
    """`published` tickets by level; `sent` commands that reached Valkey."""

    def __init__(self, *, error: Exception | None = None, **lengths: int) -> None:
        self.error = error
        self.published: dict[str, int] = {}
        self.sent = 0
        self._lengths = dict.fromkeys(LEVELS, 0) | lengths

    async def lengths(self) -> dict[str, int]:
        self._send()
        return dict(self._lengths)

    async def publish(self, counts: Mapping[str, int]) -> None:
        if not counts:
            return
        self._send()
        for level, count in counts.items():
            self._lengths[level] += count
            self.published[level] = self.published.get(level, 0) + count

    def _send(self) -> None:
        if self.error is not None:
            raise self.error
        self.sent += 1
