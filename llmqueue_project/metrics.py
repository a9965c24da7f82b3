"""`/metrics` of the web processes: their own counters, and the queue at the time of the request."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import orjson
import structlog
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from redis.exceptions import RedisError

from balancing.endpoints.registry import Target, known_endpoints
from balancing.live.slots import slots_in_use
from balancing.live.store import read_live
from conversations.models import Tenant
from llmqueue_project.config import configuration
from scheduling import usage
from scheduling.reports.capacity import level_caps
from scheduling.reports.level_summaries import level_summary
from scheduling.reports.replicas import desired_replicas
from stores.control import client

LIVE = {
    "limit": "Slots that may be in use just now, learned",
    "healthy": "1 while active probes get answers",
    "ejected": "1 while repeated failures keep it out",
    "waiting": "Calls in its own queue, as its last probe told",
    "first_token_seconds": "Time to first token, moving average",
    "token_seconds": "Time per output token of one stream, moving average",
}
MOST_TENANTS = 500
log = structlog.get_logger(__name__)


class QueueCollector(Collector):
    """Gauges that belong to no process. PostgreSQL and Valkey are read at each request."""

    def collect(self) -> Iterator[Metric]:
        yield from _levels()
        yield from _endpoints()
        yield from _replicas()
        yield from _caps()
        if configuration().metrics_tenants:
            yield from _tenants()


def _levels() -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "llmqueue_queue_depth", "Jobs by level and status", labels=["level", "status"]
    )
    oldest = GaugeMetricFamily(
        "llmqueue_queue_oldest_seconds",
        "Age of the oldest of a level's next jobs",
        labels=["level"],
    )
    try:
        summaries = level_summary()
    except OperationalError as error:
        log.warning("metrics.no_database", error=str(error))
        return
    for summary in summaries:
        depth.add_metric([summary.level.queue, "queued"], summary.queued)
        depth.add_metric([summary.level.queue, "held"], summary.held)
        depth.add_metric([summary.level.queue, "processing"], summary.processing)
        oldest.add_metric([summary.level.queue], summary.oldest_wait_seconds)
    yield depth
    yield oldest


def _endpoints() -> Iterator[Metric]:
    most = GaugeMetricFamily("llmqueue_slots_max", "Slots of an endpoint", labels=["endpoint"])
    used = GaugeMetricFamily("llmqueue_slots_in_use", "Slots in use now", labels=["endpoint"])
    takes = GaugeMetricFamily(
        "llmqueue_endpoint_enabled", "1 when the endpoint takes new work", labels=["endpoint"]
    )
    try:
        endpoints = known_endpoints()
        in_use = slots_in_use(client(), [endpoint.id for endpoint in endpoints])
    except (OperationalError, RedisError) as error:
        log.warning("metrics.no_endpoints", error=str(error))
        return
    for endpoint in endpoints:
        most.add_metric([endpoint.name], endpoint.max_concurrent)
        used.add_metric([endpoint.name], in_use[endpoint.id])
        takes.add_metric([endpoint.name], float(endpoint.takes_work))
    yield most
    yield used
    yield takes
    yield from _live(endpoints)


def _live(endpoints: Sequence[Target]) -> Iterator[Metric]:
    """The live state that workers share; an endpoint that was not measured has no sample."""
    gauges = {
        name: GaugeMetricFamily(f"llmqueue_endpoint_{name}", text, labels=["endpoint"])
        for name, text in LIVE.items()
    }
    now = time.time()
    try:
        states = read_live(client(), [endpoint.id for endpoint in endpoints])
    except RedisError as error:
        log.warning("metrics.no_live_state", error=str(error))
        return
    for endpoint in endpoints:
        live = states[endpoint.id]
        values = {
            "limit": min(int(live.limit) or endpoint.max_concurrent, endpoint.max_concurrent),
            "healthy": int(live.healthy),
            "ejected": int(live.ejected_until > now),
            "waiting": live.waiting,
            "first_token_seconds": live.first_token or None,
            "token_seconds": live.token or None,
        }
        for name, value in values.items():
            if value is not None:
                gauges[name].add_metric([endpoint.name], value)
    yield from gauges.values()


def _replicas() -> Iterator[Metric]:
    desired = GaugeMetricFamily(
        "llmqueue_desired_replicas",
        "Endpoints of today's size that would start every queue within its target wait",
    )
    try:
        desired.add_metric([], desired_replicas())
    except (OperationalError, RedisError) as error:
        log.warning("metrics.no_replicas", error=str(error))
        return
    yield desired


def _caps() -> Iterator[Metric]:
    most = GaugeMetricFamily(
        "llmqueue_level_slots_max", "Slots that a capped level may hold", labels=["level"]
    )
    used = GaugeMetricFamily(
        "llmqueue_level_slots_in_use", "Slots that a capped level holds", labels=["level"]
    )
    for level, (count, cap) in level_caps().items():
        most.add_metric([level], cap)
        used.add_metric([level], count)
    yield most
    yield used


def _tenants() -> Iterator[Metric]:
    """What the dearest tenants have spent today: a series each, so only where it is configured."""
    spent = GaugeMetricFamily(
        "llmqueue_tenant_cost_today", "Money spent today (UTC), by tenant", labels=["tenant"]
    )
    today = datetime.now(UTC).date()
    try:
        rows = usage.totals(usage.Span(first=today, last=today), ["tenant"], limit=MOST_TENANTS)
        names = dict(
            Tenant.objects.filter(pk__in=[row["tenant"] for row in rows]).values_list("pk", "name")
        )
    except OperationalError as error:
        log.warning("metrics.no_tenants", error=str(error))
        return
    for row in rows:
        if row["tenant"] in names:
            spent.add_metric([names[row["tenant"]]], row["spent_micros"] / 1e6)
    yield spent


_queue_registry = CollectorRegistry()
_queue_registry.register(QueueCollector())


def _process_registry() -> CollectorRegistry:
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


@csrf_exempt  # so that what it refuses is told by the method, not by a page about cookies
@require_safe
def view(request: HttpRequest) -> HttpResponse:
    """Prometheus text; `?format=json` gives the same samples as JSON."""
    if not _may_read(request):
        body = orjson.dumps({"error": "send Authorization: Bearer <LLMQUEUE_METRICS_TOKEN>"})
        return HttpResponse(body, status=401, content_type="application/json")
    registries = (_process_registry(), _queue_registry)
    if request.GET.get("format") == "json":
        return HttpResponse(orjson.dumps(_samples(registries)), content_type="application/json")
    text = b"".join(generate_latest(registry) for registry in registries)
    return HttpResponse(text, content_type=CONTENT_TYPE_LATEST)


def _samples(registries: tuple[CollectorRegistry, ...]) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = {}
    for registry in registries:
        for metric in registry.collect():
            for sample in metric.samples:
                entry = {"labels": sample.labels, "value": sample.value}
                found.setdefault(sample.name, []).append(entry)
    return found


def _may_read(request: HttpRequest) -> bool:
    token = configuration().metrics_token
    if token is None:
        return True
    presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if secrets.compare_digest(presented.encode(), token.get_secret_value().encode()):
        return True
    user = getattr(request, "user", None)
    return bool(user and user.is_authenticated and user.is_staff)
