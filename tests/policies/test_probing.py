"""Probes: an endpoint is unhealthy, and healthy again, by answers in a row."""

from __future__ import annotations

from balancing.policies.probing import Health, Probing


def test_health_changes_by_answers_in_a_row() -> None:
    rule, health = Probing(unhealthy_after=3, healthy_after=2), Health()
    seen = []
    for answered in (False, False, True, False, False, False, True, False, True, True):
        health = rule.after(health, answered=answered)
        seen.append(health.is_healthy)

    assert seen == [True] * 5 + [False] * 4 + [True]
