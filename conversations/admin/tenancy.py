"""Operators, tenants, users and API keys in admin."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from rest_framework_api_key.models import APIKey as LibraryKey
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from balancing.admin.listing import ListAdmin
from balancing.admin.object_actions import ObjectActions
from conversations.access import keys
from conversations.admin import costs
from conversations.models import ApiKey, Operator, Tenant, User
from scheduling import pauses
from scheduling.errors import NotPaused
from stores import control

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
    """Rows that a caller is made of: after a change, keys are verified again."""

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
class TenantAdmin(ObjectActions, KeyedAdmin):
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
    readonly_fields = ("id", "created_at", "lately")
    actions = object_actions = ("pause", "resume")

    @display(description="last 30 days")
    def lately(self, row: Tenant) -> str:
        if row._state.adding:
            return "-"
        return costs.shown_total(costs.last(30, tenant_id=row.pk), costs.page_of(row))

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("scheduling.add_pause"))

    @admin.action(description="Pause: hold what waits", permissions=["steer"])
    def pause(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        operator = request.user.get_username()
        held = sum(pauses.pause_tenant(tenant_id=row.pk, operator=operator) for row in rows)
        self.message_user(request, f"Paused; {held} requests held.", messages.SUCCESS)

    @admin.action(description="Resume", permissions=["steer"])
    def resume(self, request: HttpRequest, rows: QuerySet[Tenant]) -> None:
        queued = 0
        for row in rows:
            with suppress(NotPaused):
                queued += pauses.resume_tenant(tenant_id=row.pk)
        self.message_user(request, f"Resumed; {queued} requests queued again.", messages.SUCCESS)


@admin.register(User)
class UserAdminPage(KeyedAdmin):
    list_display = ("external_id", "tenant", "default_priority", "created_at")
    list_filter = ("default_priority",)
    list_select_related = ("tenant",)
    search_fields = ("=external_id",)
    search_help_text = "The tenant's own name for the user"
    autocomplete_fields = ("tenant",)
    readonly_fields = ("id", "created_at", "lately")

    @display(description="last 30 days")
    def lately(self, row: User) -> str:
        if row._state.adding:
            return "-"
        return costs.shown_total(costs.last(30, tenant_id=row.tenant_id, user_id=row.pk))


@admin.register(ApiKey)
class ApiKeyAdmin(ObjectActions, KeyedAdmin):
    """A key is shown once, when it is made. Only its hash is stored, and it is never shown."""

    list_display = ("name", "prefix", "tenant", "user", "scope", "state", "created", "expiry_date")
    list_filter = ("scope", "revoked", "created")
    list_select_related = ("tenant", "user")
    search_fields = ("name", "=prefix", "tenant__name")
    autocomplete_fields = ("tenant", "user")
    fields = ("name", "tenant", "user", "scope", "expiry_date", "prefix", "revoked")
    actions = object_actions = ("revoke",)
    # Holds a new key between storing its hash and showing it, never longer than the request.
    _keys: ClassVar[WeakKeyDictionary[HttpRequest, str]] = WeakKeyDictionary()

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
        if not change:
            self._keys[request] = ApiKey.objects.assign_key(obj)
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key on the answer: a message would put it in a cookie, a redirect in a URL."""
        context = {
            **self.admin_site.each_context(request),
            "title": f"The key of {obj.name}",
            "opts": self.opts,
            "key": self._keys.pop(request),
        }
        answer = TemplateResponse(request, "conversations/new_key.html", context)
        answer["Cache-Control"] = "no-store"
        return answer

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("conversations.change_apikey"))

    @admin.action(description="Revoke: cannot be undone", permissions=["steer"])
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiKey]) -> None:
        count = rows.filter(revoked=False).update(revoked=True)
        keys.forget()
        transaction.on_commit(lambda: control.tell(keys="changed"))
        self.message_user(request, f"{count} keys revoked.", messages.SUCCESS)
