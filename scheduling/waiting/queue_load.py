"""What waits in the whole queue at one moment, and how fast does it go?

The figures that `policies/waiting.py` reads, from one run of `sql/load.sql`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from balancing.endpoints.registry import Target
from llmqueue_project.config import configuration
from scheduling.models import Priority
from scheduling.policies.model_sets import model_sets_of
from scheduling.policies.smoothing import steadied
from scheduling.policies.waiting import WINDOW_SECONDS
from scheduling.waiting.model_set import ModelLoad, ModelSet, Services

# Next jobs of each level and model whose tags are read.
HEADS = 1000
# Jobs ended, and jobs that came, counted at a time; where there are more, the window is shorter.
COUNTED = 4000


def parameters(models: Iterable[str]) -> dict[str, Any]:
    """What `sql/load.sql` takes."""
    return {
        "window_seconds": WINDOW_SECONDS,
        "cap": configuration().scheduling.max_queued,
        "heads": HEADS,
        "counted": COUNTED,
        "models": sorted(models),
    }


@dataclass(frozen=True, slots=True)
class QueueLoad:
    """The queue.

    Attributes:
        waiting: jobs, held ones included.
        mean_bytes: of their bodies.
        services: how long jobs ran, by model, the models of earlier readings included.
    """

    models: tuple[ModelLoad, ...] = ()
    model_sets: tuple[ModelSet, ...] = ()
    waiting: int = 0
    mean_bytes: float = 0.0
    services: Mapping[str, Services] = field(default_factory=dict)

    @classmethod
    def of_rows(
        cls,
        rows: Sequence[Sequence[Any]],
        endpoints: Iterable[Target],
        paused: frozenset[str],
        most_running: Sequence[int] = (0, 0, 0, 0),
        known: Mapping[str, Services] | None = None,
    ) -> QueueLoad:
        """Rows of `sql/load.sql`; none when nothing waits or runs.

        Args:
            paused: levels; they have nothing that others would wait for.
            most_running: each level's own limit of slots, highest level first; 0 is none.
            known: how long jobs ran, as earlier readings told. A model of which nothing ended
                lately is not forgotten.
        """
        loads = tuple(ModelLoad.of_row(row) for row in rows)
        known_services = services(loads, known or {})
        working = [(e.max_concurrent, e.model_names) for e in endpoints if e.takes_work]
        model_sets = tuple(
            ModelSet.of(
                slots, models, loads, known_services, paused=paused, most_running=most_running
            )
            for slots, models in model_sets_of(working)
        )
        held, mean_bytes = rows[0][15:17] if rows else (0, 0.0)
        waiting = sum(each.queued for each in loads) + held
        return cls(loads, model_sets, waiting, mean_bytes, known_services)

    def steadied(self, before: QueueLoad, seconds: float) -> QueueLoad:
        """With rates averaged over the last readings, where the model sets are the same.

        Args:
            before: as it was so many seconds ago.
        """
        was = {each.models: each.load for each in before.model_sets}
        model_sets = tuple(
            replace(each, load=steadied(each.load, was[each.models], seconds))
            if each.models in was
            else each
            for each in self.model_sets
        )
        return replace(self, model_sets=model_sets)

    def clocks(self) -> dict[Priority, float]:
        """Virtual time of the levels at which work waits, while anything runs."""
        if not any(each.processing for each in self.models):
            return {}
        return {each.level: each.clock for each in self.models if each.queued}

    def model_set(self, model: str) -> ModelSet | None:
        return next((each for each in self.model_sets if model in each.models), None)


def services(loads: Iterable[ModelLoad], known: Mapping[str, Services]) -> dict[str, Services]:
    """What these rows say of each model, and of the others what is known."""
    latest = {
        each.model: Services(each.service_seconds, each.service_costs, len(each.service_seconds))
        for each in loads
        if each.service_seconds
    }
    if not latest:
        return dict(known)
    return {model: each.remembered() for model, each in known.items()} | latest
