"""How long may the current phase of a call still take?"""

from __future__ import annotations

import asyncio
import math
from enum import Enum

from balancing.errors import CallError, DeadlinePassed, TimedOut
from balancing.kinds.call import Timeouts


class Phase(Enum):
    CONNECT = 1
    FIRST_TOKEN = 2
    STALL = 3


class CallTimer:
    """One timer for all phases of a call; its end moves as the call proceeds.

    It remembers which limit it was set to. So the error says which limit has passed, however early
    or late the timer fires.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + timeouts.whole
        self.phase = Phase.CONNECT
        self.timeout = asyncio.timeout_at(self._limit(timeouts.first_token))

    def accepted(self) -> None:
        """The endpoint has sent its headers."""
        self.phase = Phase.FIRST_TOKEN
        self._wait(self._timeouts.first_token)

    def progressed(self) -> None:
        """Any byte of the answer has arrived."""
        self.phase = Phase.STALL
        self._wait(self._timeouts.stall)

    def error(self) -> CallError:
        """The error for the limit that has passed."""
        limits = self._timeouts
        if not self._is_silence:
            if limits.deadline <= limits.total:
                return DeadlinePassed()
            return TimedOut("total_timeout", f"no answer within {limits.total:g} s")
        if self.phase is Phase.STALL:
            return TimedOut("stalled", f"no byte for {limits.stall:g} s")
        return TimedOut("first_token_timeout", f"no byte within {limits.first_token:g} s")

    def _wait(self, silence_seconds: float) -> None:
        if self._is_silence or silence_seconds != math.inf:
            self.timeout.reschedule(self._limit(silence_seconds))

    def _limit(self, silence_seconds: float) -> float:
        silence_end = self._now() + silence_seconds
        self._is_silence = silence_end < self._end
        return min(silence_end, self._end)
