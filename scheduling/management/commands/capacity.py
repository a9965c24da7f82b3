"""`manage.py capacity`: tables of levels and endpoints, and the reasons why requests wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand

from balancing.admin.listing import span
from scheduling.reports import capacity
from scheduling.reports.capacity import EndpointCapacity, LevelCapacity

LEVELS = ("level", "queued", "held", "running", "cap", "oldest", "drain/s", "limit", "estimate")
ENDPOINTS = ("endpoint", "state", "slots", "models")


class Command(BaseCommand):
    help = "Show levels, endpoints and why what waits does wait."

    def handle(self, *args: Any, **options: Any) -> None:
        seen = capacity.survey()
        lines = table(LEVELS, [_level(each) for each in seen.levels])
        lines += ["", *table(ENDPOINTS, [_endpoint(each) for each in seen.endpoints])]
        lines += ["", *seen.reasons] if seen.reasons else ["", "nothing waits"]
        if seen.intake_paused:
            lines.append("intake is paused")
        lines.append(f"desired replicas: {seen.desired_replicas}")
        self.stdout.write("\n".join(lines))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns as wide as their widest cell."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headers, *rows)
    ]


def _level(row: LevelCapacity) -> list[str]:
    held = ", ".join(f"{jobs} {reason}" for reason, jobs in sorted(row.held.items()))
    return [
        row.level.queue + (" (paused)" if row.paused else ""),
        str(row.queued),
        held or "0",
        str(row.processing),
        "-" if row.cap is None else str(row.cap),
        span(row.oldest_wait_seconds) if row.queued else "-",
        "-" if row.drain_rate is None else f"{row.drain_rate:.2f}",
        span(row.limit_seconds),
        span(row.estimated_wait_seconds),
    ]


def _endpoint(row: EndpointCapacity) -> list[str]:
    used = "?" if row.in_use is None else str(row.in_use)
    return [row.name, row.state, f"{used}/{row.slots}", ", ".join(row.models)]
