"""Which models share endpoints, and so wait for the same slots?"""

from __future__ import annotations

from collections.abc import Sequence

# Slots of an endpoint, or of several, and the models served there.
Served = tuple[int, frozenset[str]]


def model_sets_of(endpoints: Sequence[Served]) -> list[Served]:
    """Endpoints grouped into model sets: no two of them share a model."""
    sets: list[Served] = []
    for slots, models in endpoints:
        apart = []
        for other_slots, other_models in sets:
            if models & other_models:
                slots, models = slots + other_slots, models | other_models
            else:
                apart.append((other_slots, other_models))
        sets = [*apart, (slots, models)]
    return sets
