"""Dotted paths that settings may name stay where they were."""

from __future__ import annotations

import pytest
from django.utils.module_loading import import_string

from scheduling.tickets.consumer import Consumer
from scheduling.tickets.transport import Transport
from scheduling.worker.strategy import strategy


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("scheduling.transport.Transport", Transport),
        ("scheduling.consumer.Consumer", Consumer),
        ("scheduling.gear.strategy", strategy),
    ],
)
def test_the_path_before_0_1_0_still_leads_there(path: str, found: object) -> None:
    assert import_string(path) is found


@pytest.mark.parametrize(
    "path",
    [
        "scheduling.policies.levels.Floors",
        "scheduling.policies.levels.Strict",
        "scheduling.policies.levels.Weighted",
        "scheduling.policies.capacity.Dynamic",
        "balancing.policies.profiles.expected_work",
        "balancing.policies.profile.Profile",
    ],
)
def test_a_setting_finds_what_it_names(path: str) -> None:
    assert import_string(path) is not None
