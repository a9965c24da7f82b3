"""How long may a call's present phase still take?"""

from __future__ import annotations

import asyncio

from balancing.errors import CallError, TimedOut
from balancing.kinds.call import Timeouts


class CallTimer:
    """One timer for all phases of a call, moved forward as the call proceeds."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + timeouts.total
        self.phase = "connect"
        # Endpoints that answer whole send no headers before they are done, so the wait for
        # headers is a wait for the first token.
        self.timeout = asyncio.timeout_at(min(self._end, self._now() + timeouts.first_token))

    def accepted(self) -> None:
        """The headers have come."""
        self.phase = "first_token"

    def progressed(self) -> None:
        """A piece of the answer has come."""
        self.phase = "stall"
        self.timeout.reschedule(min(self._end, self._now() + self._timeouts.stall))

    def error(self) -> CallError:
        """Which of the timeouts has passed."""
        if self._now() >= self._end - 0.01:
            return TimedOut("total_timeout", f"no answer within {self._timeouts.total:g} s")
        if self.phase == "stall":
            return TimedOut("stalled", f"no token for {self._timeouts.stall:g} s")
        return TimedOut("first_token_timeout", f"no token within {self._timeouts.first_token:g} s")
