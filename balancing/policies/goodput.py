"""How many tokens does an endpoint finish a second, at the limit that is in force now?

    tokens a second = slots in use x tokens of its calls / seconds of its calls

By Little's law this is what it finishes, without the noise of counting few and long answers. Our
own delays are in the seconds as they are in the slots, so that they cancel out. Only calls count
that began under the present limit; they ran as fast as it lets them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LONGEST_CALL = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What an endpoint did since the look before, about a second ago.

    Attributes:
        now: Unix time.
        in_use: slots in use now.
        ended: calls that ended.
        tokens, seconds, calls: sums over those of them that began since `Learned.since`; a call
            that failed has seconds and no tokens.
    """

    now: float
    in_use: int
    ended: int = 0
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """Sums over the looks at one limit.

    Attributes:
        looks: how many there were since calls of the limit before are done; `in_use` and `ended`
            are sums over these, the others over all.
    """

    looks: int = 0
    in_use: int = 0
    ended: int = 0
    tokens: int = 0
    seconds: float = 0.0
    calls: int = 0

    def plus(self, look: Look, *, is_settled: bool) -> Seen:
        return Seen(
            self.looks + is_settled,
            self.in_use + look.in_use * is_settled,
            self.ended + look.ended * is_settled,
            self.tokens + look.tokens,
            self.seconds + look.seconds,
            self.calls + look.calls,
        )

    @property
    def slots(self) -> float:
        """Slots in use, on average."""
        return self.in_use / self.looks if self.looks else 0.0

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.slots * self.tokens / self.seconds if self.seconds > 0 else 0.0

    @property
    def pace(self) -> float:
        """Seconds of a call by its tokens; infinite if there were none."""
        return self.seconds / self.tokens if self.tokens else math.inf

    def call_seconds(self, passed: float) -> float:
        """Mean duration of calls in so many seconds, 1 to `LONGEST_CALL`.

        By Little's law, because only short calls have ended since slots were filled.
        """
        return min(LONGEST_CALL, max(1.0, self.slots * passed / max(1, self.ended)))
