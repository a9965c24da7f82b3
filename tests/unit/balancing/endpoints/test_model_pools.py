"""How each model's requests are balanced, by the rows of operators."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from balancing.endpoints.model_pools import ModelPools, is_usable
from balancing.policies.profiles import expected_work, least_connections, session_affinity
from tests.unit.balancing.endpoints.test_columns import NO_LISTS


def test_the_longest_pattern_counts() -> None:
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


def test_silence_of_its_models() -> None:
    pools = ModelPools()
    pools.update([("o3*", "", "[]", True, 900.0, 600.0), ("m", "", "[]", True, None, None)])

    thinker, other = pools.rules_for("o3-pro"), pools.rules_for("m")
    assert (thinker.first_token_timeout, thinker.stall_timeout) == (900.0, 600.0)
    assert (other.first_token_timeout, other.stall_timeout) == (None, None)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_the_settings(value: float) -> None:
    pools = ModelPools()

    with capture_logs() as logs:
        pools.update([("m", "session_affinity", "[]", True, value, 5.0)])

    rules = pools.rules_for("m")
    assert (rules.first_token_timeout, rules.stall_timeout) == (None, 5.0)
    assert rules.profile is session_affinity
    (told,) = logs
    assert told["reason"] == "first_token_timeout: seconds above 0"


def test_a_change_counts_and_no_change_is_none() -> None:
    pools = ModelPools()
    rows: list[tuple[object, ...]] = [("m", "session_affinity", [], True)]

    assert pools.update(rows)
    assert not pools.update(list(rows))
    assert pools.rules_for("m").profile is session_affinity
    assert pools.update([])
    assert pools.rules_for("m").profile is expected_work


def test_a_profile_of_another_version_is_the_settings() -> None:
    pools = ModelPools()

    pools.update([("m", "of_the_future", [], True)])

    assert pools.rules_for("m").profile is expected_work


@pytest.mark.parametrize("value", [*NO_LISTS, [1], [["m"]], [None]])
@pytest.mark.parametrize("as_text", [True, False])
def test_unreadable_fallbacks_are_none(value: Any, as_text: bool) -> None:
    pools = ModelPools()
    bad = json.dumps(value) if as_text else value
    rows = [("m", "session_affinity", bad, False), ("n", "", '["o"]', True)]

    with capture_logs() as logs:
        pools.update(rows)
        pools.update(rows)

    assert pools.rules_for("m").fallback_models == ()
    rules = pools.rules_for("m")
    assert (rules.profile.name, rules.hedging) == ("session_affinity", False)
    assert pools.rules_for("n").fallback_models == ("o",)
    (told,) = logs
    assert (told["event"], told["pool"]) == ("pool.fallbacks_set_aside", "m")


@pytest.mark.parametrize(
    ("row", "usable"),
    [
        (("m", "", "[]", True, None, None), True),
        (("m", "session_affinity", '["n"]', True, 3.0, 4.0), True),
        (("m", "no_such", "[]", True, None, None), False),
        (("m", "", "5", True, None, None), False),
        (("m", "", "[]", True, float("nan"), None), False),
        (("m", "", "[]", True, None, -1.0), False),
    ],
)
def test_whether_all_of_a_row_counts(row: Any, usable: bool) -> None:
    assert is_usable(*row) is usable
