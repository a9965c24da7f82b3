"""System checks of the settings: mistakes are reported at start, not at the first ticket."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.waiting import caps


@register()
def level_policy_exists(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    config = configuration().scheduling
    try:
        import_string(config.level_policy)(config.floors)
    except (ImportError, TypeError) as error:
        return [Error(f"scheduling.level_policy: {error}", id="scheduling.E001")]
    return []


@register()
def capacity_strategy_exists(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        caps.strategy()
    except ImportError as error:
        return [Error(f"scheduling.capacity_strategy: {error}", id="scheduling.E004")]
    unknown = set(configuration().scheduling.levels) - set(Priority.labels)
    if unknown:
        return [Error(f"scheduling.levels: no such level: {sorted(unknown)}", id="scheduling.E005")]
    return []


@register()
def floors_name_levels(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    unknown = set(configuration().scheduling.floors) - set(Priority.labels)
    if unknown:
        return [Error(f"scheduling.floors: no such level: {sorted(unknown)}", id="scheduling.E002")]
    return []


@register()
def waits_name_levels(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    unknown = set(configuration().scheduling.max_wait) - set(Priority.labels)
    if unknown:
        return [
            Error(f"scheduling.max_wait: no such level: {sorted(unknown)}", id="scheduling.E003")
        ]
    return []
