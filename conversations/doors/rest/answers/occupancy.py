"""How busy are the endpoints? Slots in use, and the outcomes of the last hour's attempts."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Avg, Count, F, Q
from django.utils import timezone

from balancing.live.occupancy import live_state, slots_in_use
from balancing.live.state import Live
from balancing.models import Endpoint
from conversations.doors.rest.answers import render
from scheduling.models import Attempt

WINDOW = timedelta(hours=1)
LIVE = (
    "health", "ejected_until", "learned_limit", "first_token_seconds", "token_seconds", "waiting",
    "probe_error", "probed_at", "ejected_why",
)  # fmt: skip


def of_endpoints() -> list[dict[str, Any]]:
    rows = list(Endpoint.objects.filter(discover="").order_by("name"))
    used = slots_in_use([row.pk for row in rows])
    known = live_state([row.pk for row in rows])
    recent = _recent()
    return [
        {
            "id": row.pk,
            "name": row.name,
            "state": row.state,
            "max_concurrent": row.max_concurrent,
            "in_use": used.get(row.pk),
            **_live(known.get(row.pk)),
            "last_hour": recent.get(row.pk, {"attempts": 0, "errors": 0, "average_seconds": None}),
        }
        for row in rows
    ]


def _live(live: Live | None) -> dict[str, Any]:
    """Live state with speeds in seconds; null if nothing was measured or Valkey is away."""
    if live is None:
        return dict.fromkeys(LIVE)
    values = (
        live.health(time.time()),
        _instant(live.ejected_until),
        int(live.limit) or None,
        round(live.first_token, 4) or None,
        round(live.token, 5) or None,
        live.waiting,
        live.probe_error or None,
        _instant(live.probed_at),
        (live.ejected_until and live.ejected_why) or None,
    )
    return dict(zip(LIVE, values, strict=True))


def _instant(seconds: float) -> str | None:
    return render.instant(datetime.fromtimestamp(seconds, UTC)) if seconds else None


def slots() -> tuple[int, int]:
    """Slots in use and all slots, of the endpoints that take work."""
    rows = list(Endpoint.objects.filter(state=Endpoint.State.ENABLED, discover=""))
    used = slots_in_use([row.pk for row in rows])
    return sum(used.values()), sum(row.max_concurrent for row in rows)


def _recent() -> dict[int, dict[str, Any]]:
    """Outcomes by endpoint id. Index attempt_endpoint."""
    # `timeout` is the request's own deadline. What takes an endpoint too long is an `error`.
    told = Attempt.Outcome
    bad = ~Q(outcome__in=[told.OK, told.CANCELLED, told.TIMEOUT])
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
