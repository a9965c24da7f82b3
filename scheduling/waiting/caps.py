"""How many slots may each level hold just now, by the configured strategy?

The strategies are in `policies/capacity.py`. Workers follow the caps in `dispatch/level_slots.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.utils.module_loading import import_string

from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.policies.capacity import NAMED, LevelState, Snapshot, Strategy
from scheduling.policies.model_sets import model_sets_of
from scheduling.statements import DEMAND
from scheduling.waiting.level_settings import own_limits
from stores.postgres import Database, fetch

# An endpoint's slots as its operator allows them, as its learned limit does, and its models.
Allowed = tuple[int, int, frozenset[str]]
# Level -> jobs that wait and jobs that run.
Demand = dict[Priority, tuple[int, int]]


def strategy() -> Strategy:
    """The configured strategy, by name or by the dotted path of an instance.

    Raises:
        ImportError: there is none.
    """
    return _strategy(configuration().scheduling.capacity_strategy)


@lru_cache(maxsize=8)
def _strategy(name: str) -> Strategy:
    named = NAMED.get(name)
    if named is not None:
        return named
    found: Strategy = import_string(name)
    return found


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
    return strategy().caps(_snapshots(endpoints, rows))


def _snapshots(endpoints: Sequence[Allowed], rows: Sequence[tuple[Any, ...]]) -> list[Snapshot]:
    """A snapshot of each model set."""
    return [
        _snapshot(
            _demand(rows, models),
            slots,
            sum(learned for _, learned, served in endpoints if served & models),
        )
        for slots, models in model_sets_of([(most, names) for most, _, names in endpoints])
    ]


def _demand(rows: Sequence[tuple[Any, ...]], models: frozenset[str]) -> Demand:
    """The demand for these models, from rows of `sql/demand.sql`."""
    demand = dict.fromkeys(Priority, (0, 0))
    for number, model, waiting, running in rows:
        if model in models:
            before = demand[Priority(number)]
            demand[Priority(number)] = (before[0] + waiting, before[1] + running)
    return demand


def _snapshot(demand: Demand, slots: int, learned: int) -> Snapshot:
    own, floors = own_limits(), configuration().scheduling.floors
    levels = tuple(
        LevelState(
            level.queue,
            *demand.get(level, (0, 0)),
            limit=own.get(level.queue, 0),
            share=floors.get(level.queue, 0.0),
        )
        for level in Priority
    )
    return Snapshot(levels, slots, learned)
