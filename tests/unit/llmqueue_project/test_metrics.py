"""The gauges that `/metrics` reads when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django.utils import timezone
from prometheus_client.registry import Collector

from balancing.live.slots import key
from balancing.models import Endpoint
from llmqueue_project import metrics
from llmqueue_project.metrics import QueueCollector
from scheduling.models import Job, Priority
from scheduling.reports import replicas
from scheduling.services import flow_for, submit_many
from stores.control import client
from tests.hot_path import spec

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint.objects.create(
        name="one", base_url="http://one/v1", model_names=["m"], max_concurrent=4
    )
    yield made
    client().delete(key(made.pk))


def samples(collector: Collector) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("llmqueue_"), *sample.labels.values()): sample.value
        for metric in collector.collect()
        for sample in metric.samples
    }


def test_levels_as_they_stand(endpoint: Endpoint) -> None:
    flow = flow_for(key="k", name="k")
    submit_many([spec(flow, level=Priority.LOW) for _ in range(3)])
    Job.objects.update(created_at=timezone.now() - timedelta(seconds=90))

    found = samples(QueueCollector())

    assert found["queue_depth", "low", "queued"] == 3
    assert found["queue_depth", "realtime", "queued"] == 0
    assert found["queue_depth", "low", "processing"] == 0
    assert found["queue_oldest_seconds", "low"] == pytest.approx(90, abs=30)


def test_slots_of_endpoints(endpoint: Endpoint) -> None:
    now: Any = client().time()
    milliseconds = now[0] * 1000
    client().zadd(key(endpoint.pk), {"live": milliseconds + 60_000, "dead": milliseconds - 1})

    found = samples(QueueCollector())

    assert found["slots_max", "one"] == 4
    assert found["slots_in_use", "one"] == 1
    assert found["endpoint_enabled", "one"] == 1


def test_a_draining_endpoint_takes_no_work(endpoint: Endpoint) -> None:
    Endpoint.objects.update(state=Endpoint.State.DRAINING)

    assert samples(QueueCollector())["endpoint_enabled", "one"] == 0


def test_without_postgresql_the_page_is_shorter_and_no_error(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    def away() -> None:
        raise OperationalError("away")

    monkeypatch.setattr(metrics, "level_summary", away)

    assert {name for name, *_ in samples(QueueCollector())} == {
        "slots_max",
        "slots_in_use",
        "endpoint_enabled",
        "endpoint_limit",
        "endpoint_healthy",
        "endpoint_ejected",
        "endpoint_waiting",
        "desired_replicas",
    }


def test_without_valkey_there_are_the_levels(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    def away(*_: object) -> None:
        raise redis.ConnectionError("away")

    monkeypatch.setattr(metrics, "slots_in_use", away)
    monkeypatch.setattr(replicas, "slots_in_use", away)

    assert {name for name, *_ in samples(QueueCollector())} == {
        "queue_depth",
        "queue_oldest_seconds",
    }


def test_desired_replicas_follow_the_queue(endpoint: Endpoint) -> None:
    assert samples(QueueCollector())["desired_replicas",] == 0
    flow = flow_for(key="k", name="k")
    submit_many([spec(flow, level=Priority.LOW) for _ in range(3)])
    Endpoint.objects.update(state=Endpoint.State.DRAINING)

    found = samples(QueueCollector())

    assert found["desired_replicas",] == 1, "nothing serves them: a first one is wanted"


def test_a_model_that_nobody_serves_wants_an_endpoint_beside_those_of_others(
    endpoint: Endpoint,
) -> None:
    submit_many([spec(flow_for(key="k", name="k"), level=Priority.LOW)])
    Endpoint.objects.update(state=Endpoint.State.DRAINING)
    other = Endpoint.objects.create(name="two", base_url="http://two/v1", model_names=["n"])

    found = samples(QueueCollector())

    client().delete(key(other.pk))
    assert found["desired_replicas",] == 1
