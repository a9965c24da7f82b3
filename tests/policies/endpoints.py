"""Endpoints and jobs for the balancing suites: by hand, and drawn by Hypothesis."""

from __future__ import annotations

import inspect
from typing import Any

from hypothesis import strategies as st

from balancing.policies.situation import Situation
from balancing.policies.snapshot import EndpointSnapshot, Wanted

NOW = 1_700_000_000.0


def named(module: Any) -> dict[str, Any]:
    """The functions and instances that a module defines itself, by name."""
    return {
        name: found
        for name, found in vars(module).items()
        if not name.startswith("_") and not inspect.isclass(found) and callable(found)
        if getattr(found, "__module__", "") == module.__name__
    }


def endpoint(number: int = 1, **fields: Any) -> EndpointSnapshot:
    values: dict[str, Any] = {
        "id": number,
        "name": f"e{number}",
        "model_names": frozenset({"m"}),
        "weight": 1.0,
        "max_concurrent": 8,
        "free": 4,
    }
    return EndpointSnapshot(**{**values, **fields})


def situation(*pool: EndpointSnapshot, now: float = NOW, **fields: Any) -> Situation:
    return Situation(Wanted(**{"model": "m", **fields}), now, pool)


seconds = st.one_of(st.just(0.0), st.floats(0.001, 100))
snapshots = st.builds(
    endpoint,
    st.integers(1, 50),
    model_names=st.sets(st.sampled_from(["m", "n"])).map(frozenset),
    weight=st.floats(0.001, 1000),
    max_concurrent=st.integers(1, 64),
    in_use=st.integers(0, 70),
    free=st.integers(-1, 4),
    failing_until=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    limit=st.integers(0, 64),
    ejected_until=st.sampled_from([0.0, NOW - 1, NOW + 1]),
    on_trial=st.booleans(),
    returned_at=st.sampled_from([0.0, NOW - 5, NOW - 500]),
    is_healthy=st.sampled_from([True, True, True, False]),
    first_token_seconds=seconds,
    peak_first_token_seconds=seconds,
    token_seconds=seconds,
    best_token_seconds=seconds,
    measured_at=st.sampled_from([0.0, NOW, NOW - 100]),
    running_cost=st.floats(0, 1e6),
    waiting=st.integers(0, 100),
    requests_left=st.sampled_from([None, None, 0, 9]),
    tokens_left=st.sampled_from([None, None, 0, 9, 10**6]),
    apis=st.sampled_from([frozenset(), frozenset({"chat"}), frozenset({"embedding"})]),
)
pools = st.lists(snapshots, max_size=8, unique_by=lambda found: found.id)
wishes = st.builds(
    Wanted,
    st.just("m"),
    st.frozensets(st.integers(1, 50)),
    input_tokens=st.integers(0, 5000),
    output_tokens=st.integers(0, 5000),
    affinity=st.sampled_from(["", "one", "other"]),
    prefix=st.sampled_from([(), ("a",), ("a", "b")]),
    cached=st.dictionaries(st.integers(1, 50), st.integers(0, 9000)),
)
