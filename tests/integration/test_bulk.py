"""Bulk submission against a real PostgreSQL, in Django's transaction."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from balancing.services import register
from llmqueue_project.config import configuration
from scheduling.errors import QueueFull
from scheduling.models import Flow, FlowTag, Job, JobPayload, Priority, Status
from scheduling.services import submit_many
from scheduling.specs import JobSpec
from scheduling.submit import bulk
from scheduling.waiting import admission
from tests.hot_path import MODEL, spec

pytestmark = pytest.mark.django_db


@pytest.fixture
def flow() -> int:
    return Flow.objects.create(key="f", name="f", weight=2.0).pk


def specs(flow: int, count: int, **fields: object) -> list[JobSpec]:
    return [spec(flow, cost=10.0 + n, body=f'{{"n":{n}}}', **fields) for n in range(count)]


def stored(jobs: list[JobSpec], monkeypatch: pytest.MonkeyPatch, batch: int = 3) -> list[float]:
    monkeypatch.setattr(bulk, "BATCH_JOBS", batch)
    return [receipt.fair_tag for part in bulk.submit_bulk(jobs) for receipt in part]


def test_the_tags_are_those_of_single_submits(flow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Flow.objects.create(key="g", name="g", weight=2.0).pk
    jobs = specs(flow, 8)

    in_bulk = stored(jobs, monkeypatch)

    singly = [submit_many([replace(job, id=spec(1).id, flow_id=other)])[0].fair_tag for job in jobs]
    assert in_bulk == pytest.approx(singly)
    assert JobPayload.objects.get(pk=jobs[7].id).body == '{"n":7}'
    assert Job.objects.filter(status=Status.QUEUED, flow_id=flow).count() == 8


def test_backlog_is_held_and_charges_its_flow_nothing_yet(
    flow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(specs(flow, 5, backlog=True), monkeypatch)

    assert set(Job.objects.values_list("status", "held_reason")) == {("held", "backlog")}
    assert FlowTag.objects.get(flow_id=flow, level=Priority.NORMAL).last_finish == 0


def test_what_does_not_fit_below_the_cap_is_refused_and_the_rest_stays(
    flow: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(name="e", base_url="http://localhost:1/v1", model_names=[MODEL])
    config = configuration()
    small = config.model_copy(
        update={"scheduling": config.scheduling.model_copy(update={"max_queued": 7})}
    )
    monkeypatch.setattr(admission, "configuration", lambda: small)
    submit_many(specs(flow, 2, backlog=True))
    monkeypatch.setattr(bulk, "BATCH_JOBS", 3)

    parts = bulk.submit_bulk(specs(flow, 9, backlog=True))

    assert len(next(parts)) == 3
    with pytest.raises(QueueFull):
        list(parts)
    assert Job.objects.count() == 5


def test_tickets_are_bounded(flow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    published: list[int] = []
    monkeypatch.setattr(bulk, "publish_on_commit", published.extend)
    monkeypatch.setattr(bulk, "MOST_TICKETS", 5)

    stored(specs(flow, 8, level=Priority.LOW), monkeypatch)

    assert published == [3] * 5


def test_a_batch_ends_where_its_bodies_are_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH_CHARS", 20)

    sizes = [len(part) for part in bulk.batches(spec(1, body="x" * 9) for _ in range(7))]

    assert sizes == [3, 3, 1]


def test_nothing_is_left_in_the_staging_table(flow: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(specs(flow, 4), monkeypatch)

    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_temp.scheduling_staging")
        assert cursor.fetchone() == (0,)
