"""What waiting jobs are told against what comes, in virtual time (issue's kind 10)."""

from __future__ import annotations

import pytest

from benchmarks.simulation.promised import Promised, few_slots
from benchmarks.simulation.promises import run

ALIKE, _, AT_ONCE, ONE_SLOT, _ = few_slots()


@pytest.mark.parametrize(
    ("scenario", "share"),
    [
        pytest.param(ALIKE, 0.9, id="5 behind 4 busy"),
        pytest.param(AT_ONCE, 0.9, id="9 at once"),
        pytest.param(ONE_SLOT, 0.8, id="1 slot: a single job decides"),
    ],
)
def test_few_jobs_before_few_slots_are_told_what_comes(scenario: Promised, share: float) -> None:
    found = run(scenario, best=False)

    assert found.share_within(found.factors) >= share
    assert found.nothing == 0, "nobody who waits is told that it does not"
    assert found.low_positions == 0
    assert found.unknown <= 20, "only before anything has ended"
