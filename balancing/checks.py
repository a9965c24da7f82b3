"""System checks: a misspelt profile is reported at start, not at the first request."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from balancing.policies.profile import Profile
from llmqueue_project.config import load


@register()
def profile_exists(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    path = load().balancing.profile
    try:
        found = import_string(path)
    except ImportError as error:
        return [Error(f"balancing.profile: {error}", id="balancing.E001")]
    if not isinstance(found, Profile):
        return [Error(f"balancing.profile: {path} is not a Profile", id="balancing.E002")]
    return []
