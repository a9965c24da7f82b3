"""What is queued again keeps its time limit and its due time: retry, dead letters, admin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from scheduling.models import FlowTag, Held, Job, Status
from tests.integration.rest.conftest import Api, finish

pytestmark = pytest.mark.integration

MINUTE = timedelta(minutes=1)


def seconds_from_now(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - timezone.now()).total_seconds()


def retry(operator: Api, identifier: str) -> None:
    assert operator.post(f"/messages/{identifier}/retry").data["status"] == "pending"


def set_pending(operator: Api, identifier: str) -> None:
    assert operator.put(f"/messages/{identifier}/status", {"status": "pending"}).status == 200


def requeue_one(operator: Api, identifier: str) -> None:
    assert operator.post(f"/admin/dead-letter/requeue/{identifier}").status == 200


def requeue_all(operator: Api, identifier: str) -> None:
    assert operator.post("/admin/dead-letter/requeue-all").data["requeued"] == 1


def requeue_in_admin(operator: Api, identifier: str) -> None:
    staff = Client()
    staff.force_login(get_user_model().objects.create_superuser(username="op", password="x"))
    chosen = {"action": "requeue", "_selected_action": [identifier.removeprefix("msg_")]}
    assert staff.post(reverse("admin:scheduling_job_changelist"), chosen).status_code == 302


WAYS = [retry, set_pending, requeue_one, requeue_all, requeue_in_admin]


@pytest.mark.parametrize("again", WAYS)
def test_a_new_deadline_is_as_far_away_as_the_first_one(operator: Api, again: Any) -> None:
    identifier = operator.send(timeout=300)["id"]
    finish(identifier, Status.FAILED)
    Job.objects.update(created_at=timezone.now() - 60 * MINUTE, deadline_at=timezone.now() - MINUTE)

    again(operator, identifier)

    job = Job.objects.get()
    assert job.status == Status.QUEUED
    assert 295 < seconds_from_now(job.deadline_at) <= 300


def test_it_does_not_grow_with_each_requeue(operator: Api) -> None:
    identifier = operator.send(timeout=300)["id"]
    for hours in (1, 2, 3):
        finish(identifier, Status.FAILED)
        Job.objects.update(created_at=timezone.now() - timedelta(hours=hours))
        Job.objects.update(due_at=timezone.now() - MINUTE)  # of a retry
        retry(operator, identifier)

    assert 295 < seconds_from_now(Job.objects.get().deadline_at) <= 300


def test_a_job_of_the_previous_version_gets_one_too(operator: Api) -> None:
    identifier = operator.send(timeout=300)["id"]
    finish(identifier, Status.FAILED)
    Job.objects.update(timeout_seconds=None)

    retry(operator, identifier)

    assert 295 < seconds_from_now(Job.objects.get().deadline_at) <= 300


def test_a_job_without_a_deadline_gets_none(operator: Api) -> None:
    identifier = operator.send()["id"]
    finish(identifier, Status.FAILED)
    Job.objects.update(timeout_seconds=None, deadline_at=None)

    retry(operator, identifier)

    assert Job.objects.get().deadline_at is None


@pytest.mark.parametrize("again", [retry, set_pending, requeue_one, requeue_in_admin])
def test_a_due_time_that_is_to_come_stays(operator: Api, again: Any) -> None:
    due = (timezone.now() + timedelta(days=30)).replace(microsecond=0)
    identifier = operator.send(timeout=300, scheduled_at=due.isoformat())["id"]
    operator.post(f"/messages/{identifier}/cancel")

    again(operator, identifier)

    job = Job.objects.get()
    assert (job.status, job.held_reason, job.due_at) == (Status.HELD, Held.DUE, due)
    assert job.deadline_at is not None
    assert abs((job.deadline_at - due).total_seconds() - 300) < 1
    assert FlowTag.objects.get().last_finish == job.fair_tag  # it is charged when it is due


def test_a_due_time_that_has_passed_does_not(operator: Api) -> None:
    due = timezone.now() + timedelta(days=30)
    identifier = operator.send(timeout=300, scheduled_at=due.isoformat())["id"]
    finish(identifier, Status.FAILED)  # it has run: what is to come is the time of a retry

    retry(operator, identifier)

    job = Job.objects.get()
    assert (job.status, job.due_at) == (Status.QUEUED, None)
    assert 295 < seconds_from_now(job.deadline_at) <= 300


def test_submit_notes_how_long_a_job_may_take(api: Api) -> None:
    now, later = api.send(timeout=300), timezone.now() + timedelta(days=3)
    api.send(timeout=40, scheduled_at=later.isoformat())
    batch = {"messages": [{"user_id": "u1", "content": "x", "timeout": 7}]}
    assert api.post("/messages/batch", batch).status == 201

    found = sorted(job.timeout_seconds or 0 for job in Job.objects.all())

    assert now["status"] == "pending"
    assert found == [pytest.approx(7, abs=1), pytest.approx(40, abs=1), pytest.approx(300, abs=1)]
