"""The pages of model pools in admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import JSONField
from django.http import HttpRequest
from unfold.decorators import display

from balancing import profile_names
from balancing.admin.forms import JsonBox
from balancing.admin.listing import ListAdmin, joined
from balancing.models import ModelPool


@admin.register(ModelPool)
class ModelPoolAdmin(ListAdmin):
    formfield_overrides = {JSONField: {"form_class": JsonBox}}
    list_display = ("pattern", "shown_profile", "shown_fallbacks", "hedging", "updated_at")
    search_fields = ("pattern",)
    readonly_fields = ("created_at", "updated_at")
    fieldsets = (
        (None, {"fields": ("pattern", "profile", "hedging", "fallback_models")}),
        ("Timeouts", {"fields": ("first_token_timeout", "stall_timeout")}),
        ("Times", {"fields": ("created_at", "updated_at")}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        form = super().get_form(request, obj, **options)
        field = form.base_fields.get("profile")
        if field is not None:
            field.help_text = f"{field.help_text}. One of: {', '.join(profile_names.names())}"
        return form

    @display(description="profile", ordering="profile")
    def shown_profile(self, row: ModelPool) -> str:
        return row.profile or "as in the settings"

    @display(description="fallback models")
    def shown_fallbacks(self, row: ModelPool) -> str:
        return joined(row.fallback_models) or "-"
