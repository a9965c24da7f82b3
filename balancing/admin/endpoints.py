"""The pages of endpoints in admin."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin, messages
from django.db.models import JSONField, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from redis.exceptions import RedisError
from unfold.decorators import display

from balancing import services
from balancing.admin.forms import EndpointForm, JsonBox
from balancing.admin.listing import ListAdmin, joined, span
from balancing.admin.object_actions import ObjectActions
from balancing.endpoints import registry, stored_credentials
from balancing.fitting.shown import lessons_lately
from balancing.health import endpoint_test
from balancing.live.occupancy import live_lately, slots_lately
from balancing.live.state import HealthState
from balancing.models import Endpoint

State = Endpoint.State
MOST_TESTS = 5
KIND_HELP = format_html_join(
    " ",
    "<p><b>{}</b> {}</p>",
    (
        ("OpenAI-compatible:", "http://gpu-1:8000/v1, or https://api.openai.com/v1."),
        (
            "Azure OpenAI:",
            "https://NAME.openai.azure.com; the models are the names of deployments.",
        ),
        ("Anthropic:", "https://api.anthropic.com/v1."),
        ("Google Gemini:", "https://generativelanguage.googleapis.com/v1beta."),
    ),
)
MANAGED = {
    Endpoint.ManagedBy.FILE: "This endpoint comes from the configuration file: change it there. "
    "What is changed here lasts until the file is applied again; its state is yours.",
    Endpoint.ManagedBy.DNS: "This endpoint is a member of the group {group}: change it there. "
    "What is changed here lasts until the next lookup; its state is yours.",
}
STATE_COLOURS = {
    State.ENABLED: "success",
    State.DRAINING: "warning",
    State.DISABLED: "danger",
    "unreadable": "danger",
}
HEALTH_COLOURS = {
    HealthState.HEALTHY: "success",
    HealthState.RETURNING: "info",
    HealthState.TRIAL: "warning",
    HealthState.EJECTED: "danger",
    HealthState.UNHEALTHY: "danger",
}


@admin.register(Endpoint)
class EndpointAdmin(ObjectActions, ListAdmin):
    form = EndpointForm
    formfield_overrides = {JSONField: {"form_class": JsonBox}}
    list_display = (
        "name",
        "shown_state",
        "shown_health",
        "kind",
        "shown_models",
        "slots",
        "speed",
        "weight",
        "base_url",
        "shown_manager",
    )
    list_filter = ("state", "kind", "managed_by", "discover")
    list_select_related = ("group",)
    search_fields = ("name", "base_url")
    readonly_fields = (
        "state",
        "health",
        "slots",
        "speed",
        "refused_fields",
        "stored_credential",
        "managed_by",
        "group",
        "refreshed_at",
        "refresh_error",
        "vanished_at",
        "created_at",
        "updated_at",
    )
    actions = object_actions = ("test", "enable", "drain", "disable", "forget_refused_fields")
    conditional_fields = {"api_version": "kind == 'azure_openai' || kind == 'anthropic'"}
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "name",
                    "state",
                    "kind",
                    "base_url",
                    "api_version",
                    "model_names",
                    "apis",
                ),
                "description": KIND_HELP,
            },
        ),
        (
            "Credential",
            {
                "fields": (
                    "api_key_variable",
                    "stored_credential",
                    "credential",
                    "forget_credential",
                    "send_elsewhere",
                ),
                "description": "One of the two: the name of a variable in the workers' "
                "environment, or the credential itself, stored encrypted.",
            },
        ),
        (
            "Share of the work",
            {"fields": ("weight", "max_concurrent", "requests_per_minute", "tokens_per_minute")},
        ),
        ("Just now", {"fields": ("health", "slots", "speed", "refused_fields")}),
        (
            "Timeouts",
            {
                "fields": (
                    "connect_timeout",
                    "first_token_timeout",
                    "stall_timeout",
                    "total_timeout",
                )
            },
        ),
        ("Connection", {"fields": ("extra_headers", "proxy_url", "ca_bundle", "verify_tls")}),
        (
            "Discovery",
            {
                "fields": (
                    ("discover", "discover_models"),
                    "model_aliases",
                    ("managed_by", "group"),
                    ("refreshed_at", "refresh_error", "vanished_at"),
                )
            },
        ),
        ("Prices", {"fields": ("prices",)}),
        ("Times", {"fields": ("created_at", "updated_at")}),
    )

    @display(
        description="state",
        ordering="state",
        label=STATE_COLOURS,
    )
    def shown_state(self, row: Endpoint) -> tuple[str, str]:
        reason = registry.unreadable(row)
        return ("unreadable", f"unreadable: {reason}") if reason else (row.state, row.state)

    @display(description="models")
    def shown_models(self, row: Endpoint) -> str:
        return joined(row.model_names)

    @display(description="health", label=HEALTH_COLOURS)
    def shown_health(self, row: Endpoint) -> tuple[str, str]:
        live = live_lately(row.pk)
        word = live.health(time.time())
        if word == HealthState.EJECTED:
            left = live.ejected_until - time.time()
            why = f": {live.ejected_why}" if live.ejected_why else ""
            return word, f"ejected, {span(max(0.0, left))} left{why}"
        if word == HealthState.UNHEALTHY:
            return word, f"unhealthy: {live.probe_error}" if live.probe_error else word
        return word, word

    @display(description="health")
    def health(self, row: Endpoint) -> str:
        """Only the text: outside of lists, Unfold shows the pair of a label as it is."""
        told: str = self.shown_health(row)[1]
        return told

    @display(description="slots in use", ordering="max_concurrent")
    def slots(self, row: Endpoint) -> str:
        if row.discover:
            return "group"
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

    @display(description="refused fields")
    def refused_fields(self, row: Endpoint) -> str:
        """What requests are sent without, because the endpoint has refused it."""
        rows = [
            (lesson.field, lesson.model, span(max(0.0, time.time() - lesson.since)), lesson.text)
            for lesson in lessons_lately(row.pk)
        ]
        return format_html_join("", "<p><b>{}</b> for {}, learned {} ago: {}</p>", rows) or "-"

    @display(description="stored credential")
    def stored_credential(self, row: Endpoint) -> str:
        return stored_credentials.describe(row)

    @display(description="managed by", ordering="managed_by")
    def shown_manager(self, row: Endpoint) -> str:
        return f"DNS: {row.group}" if row.group else row.get_managed_by_display()

    def save_model(self, request: HttpRequest, obj: Endpoint, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        services.announce(endpoint_id=obj.pk)

    def delete_model(self, request: HttpRequest, obj: Endpoint) -> None:
        services.delete(endpoint_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> None:
        services.delete_all(queryset.values_list("pk", flat=True))

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Warn operators who edit an endpoint of a file or of DNS that the change will not last."""
        row = self.get_object(request, object_id) if object_id else None
        warning = MANAGED.get(row.managed_by) if row and request.method == "GET" else None
        if row is not None and warning:
            self.message_user(request, warning.format(group=row.group), messages.WARNING)
        return super().changeform_view(request, object_id, form_url, extra_context)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("balancing.change_endpoint"))

    @admin.action(description="Test: list the models, ask for one token", permissions=["steer"])
    def test(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        for row in rows[:MOST_TESTS]:
            self._test(request, row)

    def _test(self, request: HttpRequest, row: Endpoint) -> None:
        found = endpoint_test.run(row)
        level = messages.SUCCESS if found.worked else messages.ERROR
        self.message_user(request, found.text, level)

    @admin.action(description="Enable", permissions=["steer"])
    def enable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        self._each(request, rows, services.enable, "enabled")

    @admin.action(description="Drain: running requests finish", permissions=["steer"])
    def drain(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        self._each(request, rows, services.drain, "draining")

    @admin.action(description="Disable", permissions=["steer"])
    def disable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        self._each(request, rows, services.disable, "disabled")

    @admin.action(description="Send refused fields again", permissions=["steer"])
    def forget_refused_fields(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        try:
            count = sum(services.forget_refused_fields(endpoint_id=row.pk) for row in rows)
        except RedisError as error:
            self.message_user(request, f"Valkey cannot be reached: {error}", messages.ERROR)
        else:
            self.message_user(request, f"forgotten: {count} refused fields", messages.SUCCESS)

    def _each(
        self, request: HttpRequest, rows: QuerySet[Endpoint], move: Any, outcome: str
    ) -> None:
        names = list(rows.values_list("pk", "name"))
        for endpoint_id, _ in names:
            move(endpoint_id=endpoint_id)
        self.message_user(
            request, f"{outcome}: {', '.join(name for _, name in names)}", messages.SUCCESS
        )
