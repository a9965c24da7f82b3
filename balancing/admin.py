"""Endpoints in admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from balancing import registry, services
from balancing.listing import ListAdmin
from balancing.models import Endpoint
from balancing.occupancy import slots_lately

State = Endpoint.State


@admin.register(Endpoint)
class EndpointAdmin(ListAdmin):
    list_display = ("name", "shown_state", "shown_models", "slots", "weight", "base_url")
    list_filter = ("state",)
    search_fields = ("name", "base_url")
    readonly_fields = ("state", "created_at", "updated_at")
    actions = ("enable", "drain", "disable")
    fieldsets = (
        (None, {"fields": ("name", "state", "base_url", "model_names", "api_key_variable")}),
        ("Share of the work", {"fields": ("weight", "max_concurrent")}),
        ("Times", {"fields": ("created_at", "updated_at")}),
    )

    @display(
        description="state",
        ordering="state",
        label={State.ENABLED: "success", State.DRAINING: "warning", State.DISABLED: "danger"},
    )
    def shown_state(self, row: Endpoint) -> str:
        return row.state

    @display(description="models")
    def shown_models(self, row: Endpoint) -> str:
        return ", ".join(row.model_names)

    @display(description="slots in use", ordering="max_concurrent")
    def slots(self, row: Endpoint) -> str:
        return f"{slots_lately().get(row.pk, '-')} / {row.max_concurrent}"

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        registry.forget()

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("balancing.change_endpoint"))

    @admin.action(description="Enable", permissions=["steer"])
    def enable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        self._each(request, rows, services.enable, "enabled")

    @admin.action(description="Drain: running requests finish", permissions=["steer"])
    def drain(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        self._each(request, rows, services.drain, "draining")

    @admin.action(description="Disable", permissions=["steer"])
    def disable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        self._each(request, rows, services.disable, "disabled")

    def _each(
        self, request: HttpRequest, rows: QuerySet[Endpoint], move: Any, outcome: str
    ) -> None:
        names = list(rows.values_list("pk", "name"))
        for endpoint_id, _ in names:
            move(endpoint_id=endpoint_id)
        self.message_user(
            request, f"{outcome}: {', '.join(name for _, name in names)}", messages.SUCCESS
        )
