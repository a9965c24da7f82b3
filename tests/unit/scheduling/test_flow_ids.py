"""The ids of flows that a process has met."""

from __future__ import annotations

import pytest

from scheduling import flow_ids
from scheduling.flow_ids import FlowIds


def test_a_flow_is_known_by_key_name_and_weight() -> None:
    ids = FlowIds()

    ids.remember("key", "name", 1.0, 7)

    assert ids.get("key", "name", 1.0) == 7
    assert ids.get("key", "renamed", 1.0) is None
    assert ids.get("key", "name", 2.0) is None


def test_it_begins_anew_before_it_grows_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_ids, "REMEMBERED", 2)
    ids = FlowIds()

    for number in range(4):
        ids.remember(str(number), "", 1.0, number)

    assert ids.get("0", "", 1.0) is None
    assert ids.get("3", "", 1.0) == 3
