"""Are the profiles that settings and model pools name there? Checked at start."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError
from django.utils.module_loading import import_string

from balancing.models import ModelPool
from balancing.policies.profile import Profile
from balancing.profile_names import UnknownProfile, resolve
from llmqueue_project.config import configuration


@register()
def profile_exists(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    path = configuration().balancing.profile
    try:
        found = import_string(path)
    except ImportError as error:
        return [Error(f"balancing.profile: {error}", id="balancing.E001")]
    if not isinstance(found, Profile):
        return [Error(f"balancing.profile: {path} is not a Profile", id="balancing.E002")]
    return []


@register(Tags.database)
def pools_name_profiles(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Report model pools with an unknown profile; runs with `--database default` only."""
    if "default" not in (kwargs.get("databases") or ()):
        return []
    found: list[CheckMessage] = []
    try:
        rows = list(ModelPool.objects.exclude(profile=""))
    except DatabaseError:
        # Before the first migration.
        return []
    for row in rows:
        try:
            resolve(row.profile)
        except UnknownProfile as error:
            found.append(Error(f"model pool {row.pattern}: {error}", id="balancing.E003"))
    return found
