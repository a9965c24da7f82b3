"""Priority rules in admin."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from balancing.admin.listing import ListAdmin
from conversations.models import PriorityRule
from scheduling.admin.display import LEVEL_COLOURS

LONGEST_SHOWN = 60


@admin.register(PriorityRule)
class PriorityRuleAdmin(ListAdmin):
    list_display = (
        "name",
        "order",
        "enabled",
        "scope",
        "kind",
        "shown_condition",
        "shown_level",
    )
    list_filter = ("enabled", "kind", "level")
    list_select_related = ("tenant",)
    search_fields = ("name", "tenant__name")
    autocomplete_fields = ("tenant",)
    readonly_fields = ("created_at", "updated_at")
    actions = ("enable", "disable")
    fieldsets = (
        (None, {"fields": (("name", "level"), ("order", "enabled", "tenant"))}),
        (
            "Condition",
            {
                "fields": (
                    "kind",
                    "words",
                    "pattern",
                    "min_chars",
                    "max_chars",
                    "metadata_key",
                    "metadata_value",
                ),
                "description": "Looks at a message's content and metadata; on /v1 at the last "
                "user message or the prompt. Requests that name a priority are not looked at.",
            },
        ),
        ("Times", {"fields": (("created_at", "updated_at"),)}),
    )
    conditional_fields = {
        "words": "kind == 'keyword'",
        "pattern": "kind == 'regex'",
        "min_chars": "kind == 'length'",
        "max_chars": "kind == 'length'",
        "metadata_key": "kind == 'metadata'",
        "metadata_value": "kind == 'metadata'",
    }

    @display(description="tenants", ordering="tenant__name")
    def scope(self, row: PriorityRule) -> str:
        return row.tenant.name if row.tenant else "all"

    @display(description="condition")
    def shown_condition(self, row: PriorityRule) -> str:
        text = row.condition().shown()
        return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"

    @display(description="priority", ordering="level", label=LEVEL_COLOURS)
    def shown_level(self, row: PriorityRule) -> str:
        return str(row.get_level_display())

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.change_priorityrule"))

    @admin.action(description="Enable", permissions=["steer"])
    def enable(self, request: HttpRequest, rows: QuerySet[PriorityRule]) -> None:
        self._switch(request, rows, enabled=True)

    @admin.action(description="Disable", permissions=["steer"])
    def disable(self, request: HttpRequest, rows: QuerySet[PriorityRule]) -> None:
        self._switch(request, rows, enabled=False)

    def _switch(self, request: HttpRequest, rows: QuerySet[PriorityRule], *, enabled: bool) -> None:
        """Save the rows one by one: saving a row notifies the other processes."""
        chosen = list(rows)
        for row in chosen:
            row.enabled = enabled
            row.save(update_fields=["enabled", "updated_at"])
        word = "enabled" if enabled else "disabled"
        self.message_user(request, f"{len(chosen)} rules {word}.", messages.SUCCESS)
