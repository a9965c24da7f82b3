"""Endpoints in admin."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from balancing import profiles, registry, services
from balancing.listing import ListAdmin, span
from balancing.models import Endpoint, ModelPool
from balancing.occupancy import live_lately, slots_lately

State = Endpoint.State
HEALTH_COLOURS = {
    "healthy": "success",
    "returning": "info",
    "trial": "warning",
    "ejected": "danger",
    "unhealthy": "danger",
}


@admin.register(Endpoint)
class EndpointAdmin(ListAdmin):
    list_display = (
        "name",
        "shown_state",
        "health",
        "shown_models",
        "slots",
        "speed",
        "weight",
        "base_url",
    )
    list_filter = ("state",)
    search_fields = ("name", "base_url")
    readonly_fields = ("state", "health", "slots", "speed", "created_at", "updated_at")
    actions = ("enable", "drain", "disable")
    fieldsets = (
        (None, {"fields": ("name", "state", "base_url", "model_names", "api_key_variable")}),
        ("Share of the work", {"fields": ("weight", "max_concurrent")}),
        ("Just now", {"fields": ("health", "slots", "speed")}),
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

    @display(description="health", label=HEALTH_COLOURS)
    def health(self, row: Endpoint) -> tuple[str, str]:
        live = live_lately(row.pk)
        word = live.health(time.time())
        if word == "ejected":
            left = live.ejected_until - time.time()
            return word, f"ejected, {span(max(0.0, left))} left"
        if word == "unhealthy":
            return word, f"unhealthy: {live.probe_error}" if live.probe_error else word
        return word, word

    @display(description="slots in use", ordering="max_concurrent")
    def slots(self, row: Endpoint) -> str:
        used = f"{slots_lately().get(row.pk, '-')} / {row.max_concurrent}"
        limit = int(live_lately(row.pk).limit)
        return f"{used}, limited to {limit}" if 0 < limit < row.max_concurrent else used

    @display(description="speed")
    def speed(self, row: Endpoint) -> str:
        live = live_lately(row.pk)
        parts = []
        if live.token:
            parts.append(f"{1 / live.token:.0f} tokens/s a stream")
        if live.first_token:
            parts.append(f"first after {span(live.first_token)}")
        return ", ".join(parts) or "-"

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


@admin.register(ModelPool)
class ModelPoolAdmin(ListAdmin):
    list_display = ("pattern", "shown_profile", "shown_fallbacks", "hedging", "updated_at")
    search_fields = ("pattern",)
    readonly_fields = ("created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("pattern", "profile", "hedging", "fallback_models")}),
        ("Times", {"fields": ("created_at", "updated_at")}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        form = super().get_form(request, obj, **options)
        field = form.base_fields.get("profile")
        if field is not None:
            field.help_text = f"{field.help_text}. One of: {', '.join(profiles.names())}"
        return form

    @display(description="profile", ordering="profile")
    def shown_profile(self, row: ModelPool) -> str:
        return row.profile or "as in the settings"

    @display(description="fallback models")
    def shown_fallbacks(self, row: ModelPool) -> str:
        return ", ".join(row.fallback_models) or "-"
