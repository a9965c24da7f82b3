"""How do an admin list's actions become buttons on the page of one object?

A button posts the action to the list, so that the list's permissions and its protection against
forged requests hold. The object's page is shown again afterwards. unfold's own detail actions are
links, and a GET must not change anything.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin


class ObjectActions(ModelAdmin):
    """A mixin before the base of a page; `object_actions` names the `actions` to show."""

    object_actions: tuple[str, ...] = ()
    change_form_outer_before_template = "balancing/object_actions.html"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if object_id:
            offered = self.get_actions(request)
            buttons = [(name, offered[name][2]) for name in self.object_actions if name in offered]
            extra_context = {
                **(extra_context or {}),
                "object_actions": buttons,
                "object_actions_url": reverse(self._page("changelist")),
            }
        return super().changeform_view(request, object_id, form_url, extra_context)

    def response_action(self, request: HttpRequest, queryset: Any) -> HttpResponse | None:
        response: HttpResponse | None = super().response_action(request, queryset)
        came_from = request.POST.get("_object")
        if came_from and isinstance(response, HttpResponseRedirect):
            return HttpResponseRedirect(reverse(self._page("change"), args=[came_from]))
        return response

    def _page(self, name: str) -> str:
        meta = self.model._meta
        return f"{self.admin_site.name}:{meta.app_label}_{meta.model_name}_{name}"
