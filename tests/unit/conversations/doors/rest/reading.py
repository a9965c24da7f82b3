"""What tests of reading share: any JSON, and an outcome that is a value or a refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from conversations.doors.rest.protocol.refusals import RestError

# NUL and halves of surrogate pairs are among them.
texts = st.text(st.characters())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)


def outcome(read: Callable[..., Any], *values: Any, **more: Any) -> Any:
    """What was read, or the refusal; anything else that is raised fails the test."""
    try:
        return read(*values, **more)
    except RestError as error:
        return error
