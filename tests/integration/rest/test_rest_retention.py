"""Dead letters are removed in time, but not what belongs to a conversation's history."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from conversations.housekeeping.retention import purge_dead_letters
from llmqueue_project.config import configuration
from scheduling.models import Flow, Job, JobPayload, Status
from tests.integration.rest.conftest import Api, finish

DAYS = configuration().scheduling.dead_letter_days


@pytest.fixture
def flow(db: None) -> Flow:
    return Flow.objects.create(key="f", name="f")


def dead(flow: Flow, days: float, status: Status = Status.FAILED) -> Job:
    at = timezone.now() - timedelta(days=days)
    job = Job.objects.create(
        status=status, level=2, model="m", flow=flow, created_at=at, updated_at=at, finished_at=at
    )
    JobPayload.objects.create(job=job, body="{}")
    return job


def test_old_dead_letters_go_with_their_payload(flow: Flow) -> None:
    old, young = dead(flow, DAYS + 1), dead(flow, DAYS - 1)
    answered = dead(flow, DAYS + 1, Status.COMPLETED)

    assert purge_dead_letters() == 1

    assert set(Job.objects.values_list("pk", flat=True)) == {young.pk, answered.pk}
    assert not JobPayload.objects.filter(job_id=old.pk).exists()


def test_a_failed_message_stays_with_its_conversation(api: Api) -> None:
    job = finish(api.send()["id"], Status.FAILED)
    Job.objects.filter(pk=job.pk).update(finished_at=timezone.now() - timedelta(days=DAYS + 1))

    assert purge_dead_letters() == 0


def test_nothing_goes_when_they_are_kept(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    from conversations.housekeeping import retention

    dead(flow, DAYS + 1)
    scheduling = configuration().scheduling.model_copy(update={"dead_letter_days": 0})
    config = configuration().model_copy(update={"scheduling": scheduling})
    monkeypatch.setattr(retention, "configuration", lambda: config)

    assert purge_dead_letters() == 0
