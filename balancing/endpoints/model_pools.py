"""How are a model's requests balanced: by a model pool of operators, or by the settings?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

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
TIMEOUTS = ("first_token_timeout", "stall_timeout")


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
        self._rules = [(row[0], self._read(PoolRow(*row))) for row in rows]
        self._found = {}
        return True

    def rules_for(self, model: str) -> Rules:
        found = self._found.get(model)
        if found is None:
            matching = (rules for pattern, rules in self._rules if _matches(pattern, model))
            found = self._found[model] = next(matching, self._default)
        return found

    def _read(self, row: PoolRow) -> Rules:
        """The rules of a row; what cannot be used in it is the settings', and logged."""
        profile = self._default.profile
        fallbacks: tuple[str, ...] = ()
        try:
            profile = resolve(row.profile) if row.profile else profile
        except UnknownProfile as error:
            # Another version saved it. Requests are still served, by the settings' profile.
            log.error("model_pool.profile_unknown", pattern=row.pattern, error=str(error))
        try:
            fallbacks = row.fallbacks()
        except columns.UnreadableColumn as error:
            log.error("pool.fallbacks_set_aside", pool=row.pattern, reason=str(error))
        first_token, stall = (self._seconds(row, column) for column in TIMEOUTS)
        return Rules(profile, fallbacks, row.hedging, first_token, stall)

    def _seconds(self, row: PoolRow, column: str) -> float | None:
        """A timeout of a row; None for the setting's if the column cannot be used."""
        try:
            return row.seconds(column)
        except columns.UnreadableColumn:
            reason = f"{column}: seconds above 0"
            log.error("pool.timeout_set_aside", pool=row.pattern, reason=reason)
            return None


class PoolRow(NamedTuple):
    """A row of `MODEL_POOLS`, as it came."""

    pattern: str
    profile: str
    fallback_models: Any
    hedging: bool
    first_token_timeout: float | None = None
    stall_timeout: float | None = None

    def fallbacks(self) -> tuple[str, ...]:
        """
        Raises:
            UnreadableColumn
        """
        column = "fallback_models"
        found = columns.parsed({column: self.fallback_models}, column)
        return tuple(columns.texts({column: found}, column))

    def seconds(self, column: str) -> float | None:
        """
        Raises:
            UnreadableColumn
        """
        return columns.seconds(self._asdict(), column)


def is_usable(*row: Any) -> bool:
    """Whether all of a row of `MODEL_POOLS` counts, for those who only tell of it."""
    pool = PoolRow(*row)
    try:
        if pool.profile:
            resolve(pool.profile)
        pool.fallbacks()
        for column in TIMEOUTS:
            pool.seconds(column)
    except (UnknownProfile, columns.UnreadableColumn):
        return False
    return True


def _matches(pattern: str, model: str) -> bool:
    return pattern == model or fnmatchcase(model, pattern)
