"""How long may the current phase of a call still take?"""

from __future__ import annotations

import asyncio
from enum import Enum

from balancing.errors import CallError, TimedOut
from balancing.kinds.call import Timeouts


class Phase(Enum):
    CONNECT = 1
    FIRST_TOKEN = 2
    STALL = 3


class CallTimer:
    """One timer for all phases of a call; its end moves as the call proceeds."""

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self._end = self._now() + timeouts.total
        self.phase = Phase.CONNECT
        # An endpoint that does not stream sends its headers when the answer is complete. The wait
        # for headers is therefore a wait for the first token.
        self.timeout = asyncio.timeout_at(min(self._end, self._now() + timeouts.first_token))

    def accepted(self) -> None:
        """The endpoint has sent its headers."""
        self.phase = Phase.FIRST_TOKEN

    def progressed(self) -> None:
        """A piece of the answer has arrived."""
        self.phase = Phase.STALL
        self.timeout.reschedule(min(self._end, self._now() + self._timeouts.stall))

    def error(self) -> CallError:
        """The error for the timeout that has passed."""
        if self._now() >= self._end - 0.01:
            return TimedOut("total_timeout", f"no answer within {self._timeouts.total:g} s")
        if self.phase is Phase.STALL:
            return TimedOut("stalled", f"no token for {self._timeouts.stall:g} s")
        return TimedOut("first_token_timeout", f"no token within {self._timeouts.first_token:g} s")
