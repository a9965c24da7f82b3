"""The first page of admin: levels, endpoints, dead letters, pauses, and why requests wait."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from balancing.admin.listing import joined, span
from balancing.endpoints.registry import unreadable
from balancing.live.occupancy import slots_lately
from balancing.models import Endpoint
from scheduling.models import Job, Pause, Priority, Status
from scheduling.reports.capacity import survey
from scheduling.reports.level_summaries import LevelSummary, level_summary

LARGEST_COUNT = 1000


def add_levels(_request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """unfold's DASHBOARD_CALLBACK."""
    jobs = reverse("admin:scheduling_job_changelist")
    context["levels"] = {
        "headers": [
            "Priority",
            "Queued",
            "Processing",
            "Oldest waits",
            "Average wait",
            "Longest wait",
            "Finished / min",
        ],
        "rows": [_level(level, jobs) for level in level_summary()],
    }
    context["endpoints"] = {
        "headers": ["Endpoint", "State", "Slots in use", "Models"],
        "rows": [
            _endpoint(row) for row in Endpoint.objects.filter(discover="").order_by("name")[:50]
        ],
    }
    context["dead_letters"] = _dead_letters()
    context["pauses"] = [
        f"{pause.get_scope_display()}{f' ({pause.key})' if pause.key else ''}"
        f"{f': {pause.reason}' if pause.reason else ''}"
        for pause in Pause.objects.order_by("since")[:20]
    ]
    context["waiting"] = survey().reasons
    return context


def _level(level: LevelSummary, jobs: str) -> list[Any]:
    name = Priority(level.level).label
    query = f"{jobs}?status__exact=queued&level__exact={int(level.level)}"
    return [
        format_html('<a href="{}">{}</a>', query, name),
        level.queued,
        level.processing,
        span(level.oldest_wait_seconds) if level.queued else "-",
        span(level.average_wait_seconds),
        span(level.max_wait_seconds),
        round(level.finished_per_minute),
    ]


def _endpoint(row: Endpoint) -> list[Any]:
    address = reverse("admin:balancing_endpoint_change", args=[row.pk])
    reason = unreadable(row)
    return [
        format_html('<a href="{}">{}</a>', address, row.name),
        f"unreadable: {reason}" if reason else row.state,
        f"{slots_lately().get(row.pk, '-')} / {row.max_concurrent}",
        joined(row.model_names),
    ]


def _dead_letters() -> str:
    """How many there are, counted up to a thousand. Index job_dead_letters."""
    dead = Job.objects.filter(status=Status.FAILED).order_by()[:LARGEST_COUNT].count()
    return f"{LARGEST_COUNT} or more" if dead >= LARGEST_COUNT else str(dead)
