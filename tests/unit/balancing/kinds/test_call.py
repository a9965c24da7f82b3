"""How long a call may take at an endpoint with timeouts of its own."""

from __future__ import annotations

import math

from balancing.endpoints.access import Access
from balancing.kinds.call import Timeouts

PATIENT = Timeouts(connect=5, first_token=5, stall=5, total=10)


def test_no_timeout_of_an_endpoint_outlasts_the_jobs_own() -> None:
    own = Access(connect_timeout=1, first_token_timeout=2, stall_timeout=3, total_timeout=100)

    assert PATIENT.at(own, streamed=True) == Timeouts(1, 2, 3, 10)
    assert PATIENT.at(Access(), streamed=True) == PATIENT


def test_an_answer_that_is_not_streamed_may_be_silent_until_its_end() -> None:
    """X2: neither the settings' silence nor the endpoint's own cuts it; `total` does."""
    own = Access(first_token_timeout=2, stall_timeout=3, total_timeout=7)

    assert PATIENT.at(Access(), streamed=False) == Timeouts(5, math.inf, math.inf, 10)
    assert PATIENT.at(own, streamed=False) == Timeouts(5, math.inf, math.inf, 7)
