"""How busy the endpoints are: slots in use, and what came of the last hour's attempts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Avg, Count, F, Q
from django.utils import timezone

from balancing.models import Endpoint
from balancing.occupancy import slots_in_use
from scheduling.models import Attempt

WINDOW = timedelta(hours=1)


def of_endpoints() -> list[dict[str, Any]]:
    rows = list(Endpoint.objects.filter(discover="").order_by("name"))
    used = slots_in_use([row.pk for row in rows])
    recent = _recent()
    return [
        {
            "id": row.pk,
            "name": row.name,
            "state": row.state,
            "max_concurrent": row.max_concurrent,
            "in_use": used.get(row.pk),
            "last_hour": recent.get(row.pk, {"attempts": 0, "errors": 0, "average_seconds": None}),
        }
        for row in rows
    ]


def slots() -> tuple[int, int]:
    """Slots in use and slots there are, over the endpoints that take work."""
    rows = list(Endpoint.objects.filter(state=Endpoint.State.ENABLED, discover=""))
    used = slots_in_use([row.pk for row in rows])
    return sum(used.values()), sum(row.max_concurrent for row in rows)


def _recent() -> dict[int, dict[str, Any]]:
    """By endpoint id. Index attempt_endpoint."""
    bad = ~Q(outcome__in=[Attempt.Outcome.OK, Attempt.Outcome.CANCELLED])
    rows = (
        Attempt.objects.filter(endpoint__isnull=False, ended_at__gte=timezone.now() - WINDOW)
        .order_by()
        .values("endpoint_id")
        .annotate(
            attempts=Count("pk"),
            errors=Count("pk", filter=bad),
            average=Avg(F("ended_at") - F("started_at")),
        )
    )
    return {
        row["endpoint_id"]: {
            "attempts": row["attempts"],
            "errors": row["errors"],
            "average_seconds": round(row["average"].total_seconds(), 4) if row["average"] else None,
        }
        for row in rows
    }
