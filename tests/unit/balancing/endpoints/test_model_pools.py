"""How each model's requests are balanced, by the rows of operators."""

from __future__ import annotations

import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from balancing.endpoints.model_pools import ModelPools
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
