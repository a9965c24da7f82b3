"""Rows and live state together: limits, snapshots, pools by model, and the record of a choice."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from django.core.checks import Error

from balancing import checks
from balancing.choice.endpoint_view import EndpointView
from balancing.choice.explanation import explain, in_words
from balancing.endpoints import model_pools
from balancing.endpoints.model_pools import ModelPools
from balancing.endpoints.registry import Target
from balancing.live.slots import Reservation, Room
from balancing.live.state import Live
from balancing.models import ModelPool
from balancing.policies.profiles import expected_work, least_connections, session_affinity
from balancing.policies.snapshot import Wanted
from balancing.profile_names import UnknownProfile, names, resolve

NOW = 1_000_000.0


def target(number: int, *models: str, state: str = "enabled", slots: int = 4) -> Target:
    served = frozenset(models or ("m",))
    return Target(number, f"e{number}", "http://e", served, "", 1.0, slots, state)


def view(*targets: Target, **live: Live) -> EndpointView:
    made = EndpointView()
    made.update_targets(targets)
    made.update_live(NOW, {int(name[1:]): state for name, state in live.items()})
    return made


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


class TestPools:
    def test_the_longest_pattern_counts(self) -> None:
        pools = ModelPools()
        pools.update(
            [
                ("*", "least_connections", "[]", True),
                ("llama-*", "session_affinity", '["tiny"]', False),
            ]
        )

        assert pools.rules_for("llama-8b").profile is session_affinity
        assert pools.rules_for("llama-8b").fallback_models == ("tiny",)
        assert not pools.rules_for("llama-8b").hedging
        assert pools.rules_for("other").profile is least_connections

    def test_a_change_counts_and_no_change_is_none(self) -> None:
        pools = ModelPools()
        rows: list[tuple[object, ...]] = [("m", "session_affinity", [], True)]

        assert pools.update(rows)
        assert not pools.update(list(rows))
        assert pools.rules_for("m").profile is session_affinity
        assert pools.update([])
        assert pools.rules_for("m").profile is expected_work

    def test_a_profile_of_another_version_is_the_settings(self) -> None:
        pools = ModelPools()

        pools.update([("m", "of_the_future", [], True)])

        assert pools.rules_for("m").profile is expected_work


class TestProfileNames:
    @pytest.mark.parametrize("name", ["expected_work", "balancing.policies.profiles.expected_work"])
    def test_by_name_or_path(self, name: str) -> None:
        assert resolve(name) is expected_work

    @pytest.mark.parametrize(
        "name",
        ["", ".", "os.system", "Profile", "no_such", "a b", "expected_work\n", "__builtins__"],
    )
    def test_nothing_else(self, name: str) -> None:
        with pytest.raises(UnknownProfile):
            resolve(name)

    def test_they_are_listed(self) -> None:
        assert {"expected_work", "round_robin", "session_affinity"} <= set(names())

    @pytest.mark.django_db
    def test_a_stored_name_that_is_gone_is_reported(self) -> None:
        ModelPool.objects.create(pattern="m", profile="gone")

        assert checks.pools_name_profiles(None) == []
        (found,) = checks.pools_name_profiles(None, databases=["default"])
        assert isinstance(found, Error)
        assert "gone" in found.msg


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
