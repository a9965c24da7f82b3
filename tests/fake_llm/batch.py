"""Streams that share one device: the more there are, the slower is each.

All of them run at the same pace, so one clock is enough: it counts the tokens that a stream present
all along would have got. A stream ends when the clock reaches a mark that was known when it began.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_SLEEP_SECONDS = 0.1
"""The pace may have grown meanwhile: one who waits for a mark looks again after this."""


@dataclass(slots=True)
class Batch:
    """`size` streams together halve the pace of each; a lone one's is `tokens_per_second`."""

    size: int = 0
    tokens_per_second: float = 0.0
    streams: int = 0
    _clock: float = 0.0
    _at: float = 0.0

    @property
    def pace(self) -> float:
        """Tokens a second of each stream."""
        return self.tokens_per_second / (1 + self.streams / self.size)

    def clock(self, now: float) -> float:
        if self.streams:
            self._clock += max(0.0, now - self._at) * self.pace
        self._at = now
        return self._clock

    def join(self, now: float) -> float:
        """One more stream; the clock at its beginning."""
        clock = self.clock(now)
        self.streams += 1
        return clock

    def leave(self, now: float) -> None:
        self.clock(now)
        self.streams -= 1

    def adjust(self, now: float, *, size: int, tokens_per_second: float) -> None:
        """Another pace, from now on, for those that run, too.

        Without a size or a pace there is no batch: those that run in one keep its pace.
        """
        self.clock(now)
        if size and tokens_per_second:
            self.size, self.tokens_per_second = size, tokens_per_second
        elif not self.streams:
            self.size = 0

    def look_again_at(self, mark: float, now: float) -> float:
        """When the clock reaches the mark, or sooner."""
        wait = (mark - self.clock(now)) / self.pace
        return now + min(max(0.0, wait), LONGEST_SLEEP_SECONDS)
