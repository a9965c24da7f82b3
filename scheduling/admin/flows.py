"""Flows in admin: their weights, where they stand, what is learned of their answers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from balancing.admin.listing import ListAdmin
from scheduling import pauses
from scheduling.errors import NotPaused
from scheduling.models import Flow, Priority


@admin.register(Flow)
class FlowAdmin(ListAdmin):
    """Weights follow the tenant's; a flow is made by its first job."""

    list_display = ("name", "weight", "key", "created_at")
    search_fields = ("name", "key")
    readonly_fields = ("name", "key", "created_at", "standing", "expected")
    actions = ("pause", "resume")

    @display(description="virtual finish by level")
    def standing(self, row: Flow) -> str:
        tags = row.tags.order_by("level")
        shown = [f"{Priority(tag.level).label}: {tag.last_finish:.0f}" for tag in tags]
        return ", ".join(shown) or "-"

    @display(description="expected output tokens by model")
    def expected(self, row: Flow) -> str:
        learned = row.estimates.order_by("-updated_at")[:20]
        shown = [f"{each.model}: {each.mean:.0f} ({each.samples} answers)" for each in learned]
        return ", ".join(shown) or "-"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduling.add_pause"))

    @admin.action(description="Pause: hold what waits", permissions=["steer"])
    def pause(self, request: HttpRequest, rows: QuerySet[Flow]) -> None:
        operator = request.user.get_username()
        held = sum(pauses.pause_flow(flow_id=row.pk, operator=operator) for row in rows)
        self.message_user(request, f"Paused; {held} jobs held.", messages.SUCCESS)

    @admin.action(description="Resume", permissions=["steer"])
    def resume(self, request: HttpRequest, rows: QuerySet[Flow]) -> None:
        queued = 0
        for row in rows:
            with suppress(NotPaused):
                queued += pauses.resume_flow(flow_id=row.pk)
        self.message_user(request, f"Resumed; {queued} jobs queued again.", messages.SUCCESS)
