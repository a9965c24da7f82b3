"""How long until the next attempt: exponential backoff with full jitter.

Source: Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

import random


def backoff_seconds(
    attempt: int,
    *,
    base_seconds: float,
    cap_seconds: float,
    retry_after_seconds: float,
    rng: random.Random,
) -> float:
    """Seconds to wait after failed attempt number `attempt` (1 is the first).

    At least as long as the endpoint asked for (`retry_after_seconds`); the jitter is added to it.
    """
    ceiling = min(cap_seconds, base_seconds * 2 ** max(0, attempt - 1))
    return max(0.05, retry_after_seconds + rng.uniform(0, ceiling))
