"""The record of a choice: why this endpoint, and why not the others."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from balancing.choice.explanation import explain, in_words
from balancing.live.slots import Reservation, Room
from balancing.live.state import Live
from balancing.policies.profiles import expected_work
from balancing.policies.snapshot import Wanted
from tests.unit.balancing.choice.views import NOW, target, view


class TestWhy:
    def test_scores_and_refusals(self) -> None:
        found = view(
            target(1), target(2), target(3), target(4, "other"), target(5),
            e2=Live(healthy=False), e3=Live(ejected_until=NOW + 9),
        )  # fmt: skip
        rooms = {1: Room(0, 1), 2: Room(0, 0), 3: Room(0, 0), 4: Room(0, 1), 5: Room(4, 0)}
        table = list(found.snapshots(Reservation("t", 1, rooms, NOW)).values())
        wanted = Wanted("m")
        choice = expected_work.choose(table, wanted, now=NOW, rng=random.Random(1))
        assert choice is not None

        why = explain(expected_work, choice, table, wanted, now=NOW)

        assert set(why["scores"]) == {"e1"}
        assert why["refused"] == {"e2": "is_healthy", "e3": "not_ejected", "e5": "below_limit"}

    def test_a_preference_is_a_reason_too(self) -> None:
        found = view(target(1), target(2))
        rooms = {1: Room(0, 1), 2: Room(0, 1)}
        table = list(found.snapshots(Reservation("t", 1, rooms, NOW)).values())
        wanted = replace(Wanted("m"), tried=frozenset({1}))
        choice = expected_work.choose(table, wanted, now=NOW, rng=random.Random(1))
        assert choice is not None

        assert explain(expected_work, choice, table, wanted, now=NOW)["refused"] == {
            "e1": "untried"
        }

    def test_in_words(self) -> None:
        why = {
            "profile": "expected_work",
            "scores": {"b": 0.1, "a": 0.9},
            "refused": {"c": "not_slow", "d": "my_own_filter"},
            "hedge": "c",
            "trial": True,
        }

        assert in_words(why) == [
            "profile expected_work",
            "a: score 0.9",
            "b: score 0.1",
            "c: too slow",
            "d: my_own_filter",
            "hedge of the call at c",
            "on trial after its ejection",
        ]

    @pytest.mark.parametrize("why", [None, [], "x", {"scores": None}])
    def test_whatever_was_stored_is_shown(self, why: object) -> None:
        assert isinstance(in_words(why), list)
