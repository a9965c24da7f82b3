"""The levels' caps just now: the configured strategy over the queue and the endpoints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from django.utils.module_loading import import_string

from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.policies.admission import pools_of
from scheduling.policies.capacity import NAMED, LevelState, Snapshot, Strategy
from scheduling.statements import DEMAND
from stores.postgres import Database, fetch

# An endpoint's slots as its operator allows them, as its latency allows them, and its models.
Allowed = tuple[int, int, frozenset[str]]


@lru_cache(maxsize=1)
def strategy() -> Strategy:
    """The configured strategy, by name or by the dotted path of an instance.

    Raises:
        ImportError: there is none.
    """
    name = configuration().scheduling.capacity_strategy
    named = NAMED.get(name)
    if named is not None:
        return named
    found: Strategy = import_string(name)
    return found


def limits() -> dict[str, int]:
    """The operator's own limit of each level that has one."""
    levels = configuration().scheduling.levels
    return {name: level.max_concurrent for name, level in levels.items() if level.max_concurrent}


async def compute(database: Database, endpoints: Sequence[Allowed]) -> dict[str, int]:
    """The caps as they should be now; the queue is read only where the strategy looks at it.

    Raises:
        psycopg.OperationalError: PostgreSQL is away.
    """
    if not strategy().watches:
        return strategy().caps([_snapshot({}, 0, 0)])
    if not endpoints:
        return {}
    slots = sum(most for most, _, _ in endpoints)
    models = sorted({name for _, _, names in endpoints for name in names})
    rows = await fetch(database.relaxed, DEMAND, {"most": slots + 1, "models": models})
    return strategy().caps(
        [
            _snapshot(
                {
                    level: (
                        sum(row[2] for row in rows if row[0] == level and row[1] in names),
                        sum(row[3] for row in rows if row[0] == level and row[1] in names),
                    )
                    for level in Priority
                },
                most,
                sum(learned for _, learned, served in endpoints if served & names),
            )
            for most, names in pools_of([(most, names) for most, _, names in endpoints])
        ]
    )


def _snapshot(demand: dict[Priority, tuple[int, int]], slots: int, learned: int) -> Snapshot:
    own, floors = limits(), configuration().scheduling.floors
    levels = tuple(
        LevelState(
            level.queue, *demand.get(level, (0, 0)), own.get(level.queue, 0),
            floors.get(level.queue, 0.0),
        )
        for level in Priority
    )  # fmt: skip
    return Snapshot(levels, slots, learned)
