"""How are a model's requests balanced: by a model pool of operators, or by the settings?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import structlog
from django.utils.module_loading import import_string

from balancing.endpoints import columns
from balancing.policies.profile import Profile
from balancing.profile_names import UnknownProfile, resolve
from llmqueue_project.config import configuration

log = structlog.get_logger(__name__)
# JSON is read as text. If the driver parsed it, one unreadable row would fail the whole query.
MODEL_POOLS = """
select pattern, profile, fallback_models::text, hedging, first_token_timeout, stall_timeout
  from balancing_modelpool
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the requests for one model are balanced; timeouts in seconds, None for the setting."""

    profile: Profile
    fallback_models: tuple[str, ...] = ()
    hedging: bool = True
    first_token_timeout: float | None = None
    stall_timeout: float | None = None


class ModelPools:
    """The rules of each model, by the rows that were read last."""

    def __init__(self) -> None:
        self._default = Rules(import_string(configuration().balancing.profile))
        self._rows: tuple[Any, ...] = ()
        self._rules: list[tuple[str, Rules]] = []
        self._found: dict[str, Rules] = {}

    def update(self, rows: Iterable[tuple[Any, ...]]) -> bool:
        """Take the rows of `MODEL_POOLS`; returns whether any has changed."""
        rows = tuple(sorted(rows, key=lambda row: (-len(row[0]), row[0])))
        if rows == self._rows:
            return False
        self._rows = rows
        self._rules = [(row[0], self._read(*row)) for row in rows]
        self._found = {}
        return True

    def rules_for(self, model: str) -> Rules:
        found = self._found.get(model)
        if found is None:
            matching = (rules for pattern, rules in self._rules if _matches(pattern, model))
            found = self._found[model] = next(matching, self._default)
        return found

    def _read(
        self,
        pattern: str,
        profile: str,
        fallbacks: Any,
        hedging: bool,
        first_token_timeout: float | None = None,
        stall_timeout: float | None = None,
    ) -> Rules:
        chosen = self._default.profile
        if profile:
            try:
                chosen = resolve(profile)
            except UnknownProfile as error:
                # Another version saved it. Requests are still served, by the settings' profile.
                log.error("model_pool.profile_unknown", pattern=pattern, error=str(error))
        return Rules(
            chosen,
            _fallbacks(pattern, fallbacks),
            hedging,
            _seconds(pattern, "first_token_timeout", first_token_timeout),
            _seconds(pattern, "stall_timeout", stall_timeout),
        )


def is_usable(
    pattern: str,
    profile: str,
    fallbacks: Any,
    hedging: bool,
    first_token_timeout: float | None = None,
    stall_timeout: float | None = None,
) -> bool:
    """Whether all of a row of `MODEL_POOLS` counts, for those who only tell of it."""
    del pattern, hedging
    try:
        if profile:
            resolve(profile)
        found = columns.parsed({"fallback_models": fallbacks}, "fallback_models")
        columns.texts({"fallback_models": found}, "fallback_models")
    except (UnknownProfile, columns.UnreadableColumn):
        return False
    return _is_timeout(first_token_timeout) and _is_timeout(stall_timeout)


def _is_timeout(value: float | None) -> bool:
    return value is None or (value > 0 and math.isfinite(value))


def _fallbacks(pattern: str, column: Any) -> tuple[str, ...]:
    """The fallback models of a row; none if the column cannot be read."""
    row = {"fallback_models": column}
    try:
        row["fallback_models"] = columns.parsed(row, "fallback_models")
        return tuple(columns.texts(row, "fallback_models"))
    except columns.UnreadableColumn as error:
        log.error("pool.fallbacks_set_aside", pool=pattern, reason=str(error))
        return ()


def _seconds(pattern: str, column: str, value: float | None) -> float | None:
    """A timeout of a row; None for the setting's if the column cannot be used."""
    if _is_timeout(value):
        return value
    log.error("pool.timeout_set_aside", pool=pattern, reason=f"{column}: seconds above 0")
    return None


def _matches(pattern: str, model: str) -> bool:
    return pattern == model or fnmatchcase(model, pattern)
