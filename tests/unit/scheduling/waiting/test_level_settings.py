"""What the settings say of each level."""

from __future__ import annotations

from typing import Any

import pytest

from llmqueue_project.config import configuration
from llmqueue_project.config_sections import LevelConfig
from scheduling.models import Priority
from scheduling.waiting import level_settings
from scheduling.waiting.level_settings import (
    floors,
    longest_wait_seconds,
    most_running,
    own_limits,
)


def configured(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    config = configuration()
    scheduling = config.scheduling.model_copy(update=fields)
    changed = config.model_copy(update={"scheduling": scheduling})
    monkeypatch.setattr(level_settings, "configuration", lambda: changed)


def test_a_level_without_a_limit_of_its_own_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, levels={"low": LevelConfig(max_concurrent=2), "high": LevelConfig()})

    assert own_limits() == {"low": 2}
    assert most_running() == [0, 0, 0, 2]


def test_a_level_without_a_longest_wait_is_never_refused_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured(monkeypatch, max_wait={"realtime": 3.0})

    assert longest_wait_seconds(Priority.REALTIME) == 3.0
    assert longest_wait_seconds(Priority.LOW) == float("inf")


def test_floors_come_highest_level_first(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, floors={"low": 0.1, "high": 0.2})

    assert floors() == [0.0, 0.2, 0.0, 0.1]


def test_a_policy_that_keeps_no_floors_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    configured(monkeypatch, floors={"low": 0.1})
    monkeypatch.setattr(level_settings, "assures_floors", lambda: False)

    assert floors() == [0.0] * 4
