"""Loads of model sets for the tests of waiting and admission."""

from __future__ import annotations

from hypothesis import strategies as st

from scheduling.policies.waiting import LevelLoad, ModelSetLoad

FLOORS = (0.0, 0.20, 0.15, 0.10)

# A job in a day is the least that a window counts.
rates = st.one_of(st.just(0.0), st.floats(1e-5, 5_000))
levels = st.builds(
    LevelLoad,
    queued=st.integers(0, 100_000),
    finished_per_second=rates,
    arriving_per_second=rates,
    most_running=st.integers(0, 50),
)
loads = st.builds(
    ModelSetLoad,
    levels=st.tuples(levels, levels, levels, levels),
    slots=st.integers(1, 5_000),
    processing=st.integers(0, 5_000),
    service_seconds=st.one_of(st.just(0.0), st.floats(0.001, 600)),
    standing=st.booleans(),
)
aheads = st.floats(0, 1_000_000, allow_nan=False)
places = st.integers(0, 3)


def load_of(*queued: float, **fields: object) -> ModelSetLoad:
    counts = (*queued, 0, 0, 0, 0)[:4]
    return ModelSetLoad(levels=tuple(LevelLoad(count) for count in counts), **fields)  # type: ignore[arg-type]
