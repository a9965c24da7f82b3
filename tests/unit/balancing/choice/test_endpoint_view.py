"""Rows and live state together: how many slots may be in use, and what a decision sees."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from balancing.endpoints import model_pools
from balancing.live.slots import Reservation, Room
from balancing.live.state import Live
from balancing.policies.profiles import expected_work, least_connections
from balancing.policies.snapshot import Wanted
from tests.unit.balancing.choice.views import NOW, target, view


class TestLimits:
    @pytest.mark.parametrize(
        ("live", "limit"),
        [
            (Live(), 4),
            (Live(limit=2.7), 2),
            (Live(limit=9.0), 4),
            (Live(healthy=False), 0),
            (Live(ejected_until=NOW + 1000), 0),
            (Live(ejected_until=NOW - 1000), 1),
            (Live(returned_at=NOW), 1),
        ],
    )
    def test_what_is_known_bounds_the_slots(self, live: Live, limit: int) -> None:
        assert view(target(1), e1=live).limits == {1: limit}

    def test_only_what_takes_work_has_any(self) -> None:
        found = view(target(1), target(2, state="draining"), target(3, state="disabled"))

        assert found.limits == {1: 4}

    def test_each_model_by_its_own_profile(self) -> None:
        """`not_slow` keeps one out of `fast`; `any` is balanced without it."""
        found = view(
            target(1, "fast"), target(2, "fast", "any"), target(3, "fast"),
            e1=Live(token=0.01, token_at=NOW), e2=Live(token=1.0, token_at=NOW),
            e3=Live(token=1.0, token_at=NOW),
        )  # fmt: skip
        found.model_pools.update([("any", "least_connections", [], True)])
        found.work_out_limits()

        assert found.limits == {1: 4, 2: 4, 3: 0}

    def test_profiles_of_one_name_are_told_apart(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Modules of operators may have profiles of the same name."""
        twin = replace(least_connections, name=expected_work.name)
        monkeypatch.setattr(model_pools, "resolve", lambda name: twin)
        found = view(target(1, "a"), target(2, "b"))

        found.model_pools.update([("a", "their.module.expected_work", [], True)])
        found.work_out_limits()

        assert found.limits == {1: 4, 2: 4}

    def test_its_peers(self) -> None:
        found = view(
            target(1, "a"), target(2, "a", "b"), target(3, "b"), target(4, "a", state="draining")
        )

        assert found.peers_of(1) == [2]
        assert found.peers_of(2) == [1, 3]
        assert found.peers_of(9) == []


class TestSnapshots:
    def test_reservation_rows_and_live_state_meet(self) -> None:
        found = view(
            target(1), e1=Live(limit=3.9, token=0.02, first_token=0.5, peak=0.5, waiting=7)
        )
        reservation = Reservation("t", 2, {1: Room(2, 1, room=1, cost=30), 9: Room(0, 1)}, NOW)

        (seen,) = found.snapshots(reservation).values()

        assert (seen.in_use, seen.free, seen.running_cost, seen.limit) == (2, 1, 30, 3)
        assert (seen.token_seconds, seen.first_token_seconds, seen.waiting) == (0.02, 0.5, 7)

    def test_on_trial_only_the_trial_counts(self) -> None:
        found = view(target(1), e1=Live(ejected_until=NOW - 1))
        reservation = Reservation("t", 1, {1: Room(3, 1, room=1, on_trial=True)}, NOW)

        (seen,) = found.snapshots(reservation).values()
        choice = expected_work.choose([seen], Wanted("m"), now=NOW, rng=random.Random(1))

        assert (seen.on_trial, seen.in_use) == (True, 0)
        assert choice is not None

    def test_a_failure_counts_here_at_once(self) -> None:
        found = view(target(1))
        reservation = Reservation("t", 1, {1: Room(0, 1)}, NOW)

        found.mark_failing(1)
        assert found.snapshots(reservation)[1].failing_until > NOW
        found.mark_well(1)
        assert found.snapshots(reservation)[1].failing_until == 0.0
