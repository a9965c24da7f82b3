"""How long a call may take at an endpoint with timeouts of its own."""

from __future__ import annotations

from balancing.endpoints.access import Access
from balancing.kinds.call import Timeouts

PATIENT = Timeouts(connect=5, first_token=5, stall=5, total=10)


def test_no_timeout_of_an_endpoint_outlasts_the_jobs_own() -> None:
    own = Access(connect_timeout=1, first_token_timeout=2, stall_timeout=3, total_timeout=100)

    assert PATIENT.at(own) == Timeouts(1, 2, 3, 10)
    assert PATIENT.at(Access()) == PATIENT
