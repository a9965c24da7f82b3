"""What is paused, as a process has read it."""

from __future__ import annotations

from uuid import uuid4

from scheduling.models import Priority
from scheduling.pauses import Pauses


def test_pauses_by_scope() -> None:
    tenant = uuid4()
    seen = Pauses.of_json(
        f'[["tenant", "{tenant}", "late"], ["flow", "7", ""], ["level", "low", ""]]'
    )

    assert not seen.intake
    assert seen.levels == {"low"}
    assert seen.stops(Priority.LOW)
    assert not seen.stops(Priority.HIGH)
    assert seen.holds(tenant_id=tenant, flow_id=1)
    assert seen.holds(tenant_id=None, flow_id=7)
    assert not seen.holds(tenant_id=uuid4(), flow_id=1)
    assert seen.reason("tenant", str(tenant)) == "late"
