"""How are endpoints entered in admin? One model a line, and a credential that is never shown."""

from __future__ import annotations

from copy import copy
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanWidget,
)

from balancing.apis import APIS
from balancing.endpoints import stored_credentials
from balancing.models import Endpoint
from balancing.services import RESTATE

_MOVING = ("base_url", "proxy_url", "ca_bundle", "verify_tls", "api_key_variable")


class Lines(forms.CharField):
    """A list of texts, shown and entered with one text on each line."""

    widget = UnfoldAdminTextareaWidget(attrs={"rows": 4})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        lines = (line.strip() for line in (text or "").splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool((initial or []) != self.to_python(data))


class JsonBox(forms.JSONField):
    """JSON. An empty box means the column's default; to Django it would mean null."""

    def to_python(self, value: Any) -> Any:
        if value == "" and callable(self.initial):
            return self.initial()
        return super().to_python(value)


class Choices(forms.MultipleChoiceField):
    """Several of a few texts. Saving the form mends a column that holds no list."""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(initial if isinstance(initial, list) else [], data)


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic when it runs
    model_names = Lines(label="Models", required=False, help_text="One name a line")
    apis = Choices(
        label="APIs",
        choices=[(api, api) for api in APIS],
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None: chat, and completions where its kind has them",
    )
    credential = forms.CharField(
        required=False,
        strip=True,
        widget=UnfoldAdminPasswordWidget(render_value=False, attrs={"autocomplete": "off"}),
        help_text="Stored encrypted and never shown again; empty keeps the one that is set",
    )
    forget_credential = forms.BooleanField(
        required=False, widget=UnfoldBooleanWidget, help_text="Take the stored credential out"
    )
    send_elsewhere = forms.BooleanField(
        label="May go to the new host",
        required=False,
        widget=UnfoldBooleanWidget,
        help_text="Tick it when you change the URL, the proxy or TLS of an endpoint whose "
        "credential comes from the environment",
    )

    class Meta:
        model = Endpoint
        fields = "__all__"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        try:
            self._set_credential(cleaned)
        except ValidationError as error:
            self.add_error(None, error)
        if self.instance.pk is not None and not self.errors:
            self._require_credential(cleaned)
        return cleaned

    def _set_credential(self, cleaned: dict[str, Any]) -> None:
        if cleaned.get("credential"):
            stored_credentials.set_credential(self.instance, cleaned["credential"])
        elif cleaned.get("forget_credential"):
            stored_credentials.set_credential(self.instance, None)

    def _require_credential(self, cleaned: dict[str, Any]) -> None:
        """The rule of `balancing.services.change`, with messages for the form's fields."""
        after = copy(self.instance)
        for name in _MOVING:
            if name in cleaned:
                setattr(after, name, cleaned[name])
        if not stored_credentials.changes_recipient(self.instance, after):
            return
        if after.encrypted_credential and not cleaned.get("credential"):
            self.add_error("credential", RESTATE)
        elif after.api_key_variable and not cleaned.get("send_elsewhere"):
            self.add_error("send_elsewhere", RESTATE)
