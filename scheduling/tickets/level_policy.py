"""The share between levels, as the configuration names it."""

from __future__ import annotations

from functools import lru_cache

from django.utils.module_loading import import_string

from llmqueue_project.config import configuration
from scheduling.policies.levels import LevelPolicy


@lru_cache(maxsize=4)
def _policy_class(path: str) -> type[LevelPolicy]:
    found: type[LevelPolicy] = import_string(path)
    return found


def configured_policy() -> LevelPolicy:
    """A new instance of the configured policy.

    Raises:
        ImportError: there is no such class.
    """
    config = configuration().scheduling
    made: LevelPolicy = _policy_class(config.level_policy)(config.floors)  # type: ignore[call-arg]
    return made


def assures_floors() -> bool:
    """Whether the configured policy keeps the floors of the configuration."""
    return bool(
        getattr(_policy_class(configuration().scheduling.level_policy), "assures_floors", True)
    )
