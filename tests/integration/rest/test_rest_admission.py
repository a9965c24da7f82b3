"""What `/api/v1` answers when the queue or an operator takes nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from conversations.models import Tenant
from llmqueue_project.config import configuration
from scheduling import pauses
from scheduling.models import Job, Status
from scheduling.waiting import admission
from scheduling.waiting.admission import Admission
from stores.memory import Memory, kept, remembered
from tests.integration.rest.conftest import Api, stored

DRAFT = {"user_id": "u1", "content": "hello", "priority": "realtime"}


@pytest.fixture(autouse=True)
def memory() -> Iterator[Memory]:
    """What a web process keeps between requests."""
    with kept(Memory()) as memory:
        yield memory


def flood(api: Api) -> None:
    """Forty realtime requests on four slots that take ten seconds each."""
    api.send("the first", priority="realtime")
    now = timezone.now()
    Job.objects.update(
        status=Status.COMPLETED,
        attempts=1,
        started_at=now - timedelta(seconds=30),
        finished_at=now - timedelta(seconds=20),
    )
    look_again()
    messages = [DRAFT] * 40
    assert api.post("/messages/batch", {"messages": messages}).status == 201
    # As the sweep has let them in, nine seconds ago.
    Job.objects.filter(status=Status.HELD).update(
        status=Status.QUEUED, held_reason="", updated_at=now - timedelta(seconds=9)
    )
    look_again()


def look_again() -> None:
    """The next decision rests on a new look; what the process knows of flows stays."""
    remembered(Admission).queue._read_at = float("-inf")


def test_a_full_level_refuses_with_the_time_to_wait(api: Api) -> None:
    flood(api)
    before = stored()

    refused = api.post("/messages", DRAFT)

    refused.refused(503, 1007)
    # 40 ahead on slots of which none runs: one ends in ten seconds; four may always wait.
    assert 300 < int(refused.headers["Retry-After"]) <= 400
    assert stored() == before


def test_a_batch_other_levels_and_other_tenants_are_admitted(api: Api, stranger: Api) -> None:
    flood(api)

    assert api.post("/messages/batch", {"messages": [DRAFT] * 3}).status == 201
    assert api.post("/messages", DRAFT | {"priority": "low"}).status == 201
    assert stranger.post("/messages", DRAFT).status == 201


def test_a_hard_cap_refuses_batches_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    flood(api)
    config = configuration()
    small = config.scheduling.model_copy(update={"max_queued": 41})
    monkeypatch.setattr(
        admission, "configuration", lambda: config.model_copy(update={"scheduling": small})
    )

    api.post("/messages/batch", {"messages": [DRAFT] * 2}).refused(503, 1007)


def test_paused_intake_is_maintenance(api: Api) -> None:
    pauses.pause_intake(reason="new disks")
    look_again()

    for refused in (
        api.post("/messages", DRAFT),
        api.post("/messages/batch", {"messages": [DRAFT]}),
    ):
        refused.refused(503, 1008)
        assert refused.headers["Retry-After"] == "30"
        assert "new disks" in refused.body["details"]["reason"]
    assert stored()[:2] == (0, 0)
    pauses.resume_intake()
    look_again()
    assert api.post("/messages", DRAFT).status == 201


def test_a_paused_tenants_message_is_held(api: Api, tenant: Tenant) -> None:
    pauses.pause_tenant(tenant_id=tenant.pk)

    message = api.send()

    assert (message["status"], message["held_reason"]) == ("pending", "paused")
