"""Rows of random content: each is usable in every place that meets it, or set aside."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from balancing.endpoints.registry import COLUMNS, JSON, TargetReader, apis_of, model_names
from balancing.errors import CallError
from balancing.kinds import KINDS
from balancing.kinds.call import Call, Timeouts
from tests.field import examples
from tests.unit.balancing.endpoints.test_registry import ROW

TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["http://e/v1", "openai", "a b", "\x00", "http://[", "x:99"]),
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
ANYTHING = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)
)
BODY = json.dumps({"model": "a", "messages": [{"role": "user", "content": "hello"}]})
# What PostgreSQL's type of a column lets through.
BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(JSON, ANYTHING.map(json.dumps)),
    **dict.fromkeys(
        ("connect_timeout", "first_token_timeout", "stall_timeout", "total_timeout"),
        st.none() | st.floats(),
    ),
    "weight": st.floats(),
    "max_concurrent": st.integers(0, 2**31 - 1),
    "requests_per_minute": st.none() | st.integers(0, 2**31 - 1),
    "tokens_per_minute": st.none() | st.integers(0, 2**31 - 1),
    "verify_tls": st.booleans(),
}
FREE = [name for name in COLUMNS if name not in ("id", "name")]


@st.composite
def rows(draw: st.DrawFn) -> tuple[Any, ...]:
    """A good row of which some columns hold anything."""
    row = dict(zip(COLUMNS, ROW, strict=True))
    for name in draw(st.lists(st.sampled_from(FREE), min_size=1, max_size=3, unique=True)):
        row[name] = draw(BY_TYPE.get(name, TEXTS))
    return tuple(row.values())


@settings(
    max_examples=examples(150, 5_000),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows())
def test_a_random_row_harms_itself_only(row: tuple[Any, ...]) -> None:
    good = (2, "good", *ROW[2:])

    found = TargetReader().read([row, good])

    assert found[-1].name == "good"
    assert model_names(found)
    assert apis_of("a", found)
    for target in found:
        assert 0.0 < target.weight * len(found) < float("inf")
        call = Call(
            UUID(int=0), "chat", BODY, False, Timeouts(1, 1, 1, 1).at(target.access, streamed=False)
        )
        try:
            outgoing = KINDS[target.access.kind].request(target, call, "key")
            assert outgoing.url.startswith("http")
        except CallError:
            pass
