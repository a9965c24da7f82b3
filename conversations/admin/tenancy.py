"""Operators, tenants, users and API keys in admin."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework_api_key.models import APIKey as LibraryKey
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from balancing.listing import ListAdmin
from conversations import keys
from conversations.models import ApiKey, Operator, Tenant, User
from scheduling import control, maintenance
from scheduling.errors import NotPaused

# The library registers its own model of the same name, which this project does not use.
admin.site.unregister(LibraryKey)
admin.site.unregister(Group)


@admin.register(Operator)
class OperatorAdmin(UserAdmin, ListAdmin):  # type: ignore[type-arg]
    """People who log in here; unfold's forms set the password."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")


@admin.register(Group)
class OperatorGroupAdmin(GroupAdmin, ListAdmin):
    pass


class KeyedAdmin(ListAdmin):
    """What a caller is made of: keys are looked up anew after a change."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        keys.forget()

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        keys.forget()

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        super().delete_queryset(request, queryset)
        keys.forget()


@admin.register(Tenant)
class TenantAdmin(KeyedAdmin):
    list_display = (
        "name",
        "is_active",
        "default_priority",
        "highest_priority",
        "weight",
        "created_at",
    )
    list_filter = ("is_active", "default_priority", "highest_priority")
    search_fields = ("name",)
    readonly_fields = ("id", "created_at")
    actions = ("pause", "resume")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduling.add_pause"))

    @admin.action(description="Pause: hold what waits", permissions=["steer"])
    def pause(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        operator = request.user.get_username()
        held = sum(maintenance.pause_tenant(tenant_id=row.pk, operator=operator) for row in rows)
        self.message_user(request, f"Paused; {held} requests held.", messages.SUCCESS)

    @admin.action(description="Resume", permissions=["steer"])
    def resume(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        queued = 0
        for row in rows:
            with suppress(NotPaused):
                queued += maintenance.resume_tenant(tenant_id=row.pk)
        self.message_user(request, f"Resumed; {queued} requests queued again.", messages.SUCCESS)


@admin.register(User)
class UserAdminPage(KeyedAdmin):
    list_display = ("external_id", "tenant", "default_priority", "created_at")
    list_filter = ("default_priority",)
    list_select_related = ("tenant",)
    search_fields = ("=external_id",)
    search_help_text = "The tenant's own name for the user"
    autocomplete_fields = ("tenant",)
    readonly_fields = ("id", "created_at")


@admin.register(ApiKey)
class ApiKeyAdmin(KeyedAdmin):
    """The key itself is shown once, when it is made; only its hash is stored, never shown."""

    list_display = ("name", "prefix", "tenant", "user", "scope", "state", "created", "expiry_date")
    list_filter = ("scope", "revoked", "created")
    list_select_related = ("tenant", "user")
    search_fields = ("name", "=prefix", "tenant__name")
    autocomplete_fields = ("tenant", "user")
    fields = ("name", "tenant", "user", "scope", "expiry_date", "prefix", "revoked")
    actions = ("revoke",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("prefix", "revoked")
        owner = ("prefix", "tenant", "user")
        return (*owner, "name", "revoked", "expiry_date", "scope") if obj.revoked else owner

    @display(
        description="state",
        label={"usable": "success", "expired": "warning", "revoked": "danger"},
    )
    def state(self, row: ApiKey) -> str:
        if row.revoked:
            return "revoked"
        return "expired" if row.has_expired else "usable"

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        key = None if change else ApiKey.objects.assign_key(obj)
        super().save_model(request, obj, form, change)
        if key is not None:
            text = f"The key of {obj.name} is {key} - keep it now: it cannot be shown again."
            self.message_user(request, text, messages.WARNING)

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.change_apikey"))

    @admin.action(description="Revoke: cannot be undone", permissions=["steer"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        count = rows.filter(revoked=False).update(revoked=True)
        keys.forget()
        transaction.on_commit(lambda: control.tell(keys="changed"))
        self.message_user(request, f"{count} keys revoked.", messages.SUCCESS)
