"""Pauses in admin: a row is a pause in force. Adding a row pauses, deleting it resumes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from balancing.admin.listing import ListAdmin, age
from scheduling import pauses
from scheduling.errors import NotPaused
from scheduling.levels import LEVELS
from scheduling.models import Flow, Pause

DRAIN = "drain"
SCOPES = [*Pause.Scope.choices, (DRAIN, "drain: intake and all levels")]
KEYS = "A level's name, a tenant's id or a flow's number; empty for intake"


class PauseForm(forms.ModelForm):  # type: ignore[type-arg]
    scope = forms.ChoiceField(choices=SCOPES)
    key = forms.CharField(required=False, max_length=64, help_text=KEYS)

    class Meta:
        model = Pause
        fields = ("scope", "key", "reason")

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        self.drains = values.get("scope") == DRAIN
        if self.drains:
            values["scope"] = Pause.Scope.INTAKE.value
            # A drain is allowed where intake is paused already.
            self.instance = Pause.objects.filter(scope=values["scope"]).first() or self.instance
        wrong = _wrong(values.get("scope", ""), values.get("key", ""))
        if wrong:
            raise ValidationError({"key": wrong})
        return values


def _wrong(scope: str, key: str) -> str:
    """What is wrong with a key within its scope; empty when nothing is."""
    if scope == Pause.Scope.INTAKE and key:
        return "Intake has no key"
    if scope == Pause.Scope.LEVEL and key not in LEVELS:
        return f"One of {', '.join(LEVELS)}"
    if scope == Pause.Scope.TENANT:
        try:
            return "" if str(UUID(key)) == key else "Write the id in lower case with hyphens"
        except ValueError:
            return "A tenant's id; or pause it from the list of tenants"
    if scope == Pause.Scope.FLOW:
        known = key.isascii() and key.isdigit() and Flow.objects.filter(pk=int(key)).exists()
        return "" if known and str(int(key)) == key else "There is no such flow"
    return ""


@admin.register(Pause)
class PauseAdmin(ListAdmin):
    form = PauseForm
    list_display = ("scope", "key", "reason", "shown_since", "operator")
    list_filter = ("scope",)
    actions = ("resume",)

    @display(description="since", ordering="since")
    def shown_since(self, row: Pause) -> str:
        return age(row.since)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Pause, form: Any, change: bool) -> None:
        operator = request.user.get_username()
        if form.drains:
            pauses.drain(reason=obj.reason, operator=operator)
        else:
            pauses.pause(scope=obj.scope, key=obj.key, reason=obj.reason, operator=operator)
        obj.pk = Pause.objects.get(scope=obj.scope, key=obj.key).pk

    def delete_model(self, request: HttpRequest, obj: Pause) -> None:
        with suppress(NotPaused):
            pauses.resume(scope=obj.scope, key=obj.key)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Pause]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduling.delete_pause"))

    @admin.action(description="Resume", permissions=["steer"])
    def resume(self, request: HttpRequest, rows: QuerySet[Pause]) -> None:
        count = len(rows)
        self.delete_queryset(request, rows)
        self.message_user(request, f"{count} pauses ended.", messages.SUCCESS)
