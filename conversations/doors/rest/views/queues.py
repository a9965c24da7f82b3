"""`/queues`: how long the queues are, and what they have finished."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from conversations.doors.rest.answers import occupancy
from conversations.doors.rest.openapi import shapes
from conversations.doors.rest.protocol.envelope import Resource, success
from conversations.doors.rest.requests import fields
from scheduling.models import Priority
from scheduling.reports.capacity import level_caps
from scheduling.reports.level_summaries import LevelSummary, level_summary
from scheduling.reports.throughput import RANGES, finished


class QueueStatus(Resource):
    @extend_schema(
        operation_id="get_queue_status",
        responses={200: shapes.enveloped(shapes.ANYTHING, "QueueStatus"), **shapes.REFUSALS},
    )
    def get(self, _request: Request) -> Response:
        """Every level now: how much waits and runs, and for how long."""
        used, slots = occupancy.slots()
        caps = level_caps()
        queues = [
            {**_now(level), "max_concurrent": caps.get(level.level.queue, (0, None))[1]}
            for level in level_summary()
        ]
        return success(
            {
                "queues": queues,
                "size": sum(queue["size"] for queue in queues),
                "held": sum(queue["held"] for queue in queues),
                "processing": sum(queue["processing"] for queue in queues),
                "slots": {"in_use": used, "total": slots},
                "utilisation": _share(used, slots),
            }
        )


class QueueStats(Resource):
    query_fields = {"GET": frozenset({"time_range"})}

    @extend_schema(
        operation_id="get_queue_stats",
        parameters=[OpenApiParameter("time_range", str, enum=list(RANGES), default="1h")],
        responses={200: shapes.enveloped(shapes.ANYTHING, "QueueStats"), **shapes.REFUSALS},
    )
    def get(self, request: Request) -> Response:
        """What every level finished in the last hour, 6 hours, day or week."""
        text = request.query_params.get("time_range", "1h")
        name = fields.one_of(text, list(RANGES), "time_range")
        waiting = {int(level.level): level for level in level_summary()}
        _, slots = occupancy.slots()
        queues = [
            {**_now(waiting[row["level"]]), **_past(row, name, slots)}
            if row["level"] in waiting
            else _past(row, name, slots)
            for row in finished(name)
        ]
        return success({"time_range": name, "queues": queues, "total": _total(queues)})


def _now(level: LevelSummary) -> dict[str, Any]:
    return {
        "queue_name": Priority(level.level).queue,
        "priority": Priority(level.level).label,
        "size": level.queued,
        "held": level.held,
        "processing": level.processing,
        "oldest_wait": round(level.oldest_wait_seconds, 3),
        "average_wait": round(level.average_wait_seconds, 3),
        "max_wait": round(level.max_wait_seconds, 3),
    }


def _past(row: dict[str, Any], name: str, slots: int) -> dict[str, Any]:
    minutes = RANGES[name].total_seconds() / 60
    return {
        "queue_name": Priority(row["level"]).queue,
        "priority": Priority(row["level"]).label,
        "processed": row["processed"],
        "failed": row["failed"],
        "cancelled": row["cancelled"],
        "average_wait": row["average_wait"],
        "max_wait": row["max_wait"],
        "average_processing": row["average_processing"],
        "throughput": round(row["processed"] / minutes, 4),
        "error_rate": _share(row["failed"], row["processed"] + row["failed"]),
        "utilisation": _share(row["busy_seconds"], slots * minutes * 60),
    }


def _total(queues: list[dict[str, Any]]) -> dict[str, Any]:
    counted = {
        name: sum(queue[name] for queue in queues)
        for name in ("processed", "failed", "cancelled", "throughput", "utilisation")
    }
    counted["throughput"] = round(counted["throughput"], 4)
    counted["utilisation"] = round(counted["utilisation"], 4)
    ended = counted["processed"] + counted["failed"]
    return counted | {"error_rate": _share(counted["failed"], ended)}


def _share(part: float, whole: float) -> float:
    return round(part / whole, 4) if whole else 0.0
