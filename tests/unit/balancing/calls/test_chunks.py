"""Chunks that are too large for readers on their way."""

from __future__ import annotations

from typing import Any

import pytest

from balancing.calls.chunks import PIECE_CHARACTERS, parts_of
from balancing.kinds.assembly import Assembly

HUGE = "ab" * PIECE_CHARACTERS


def call(arguments: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"index": 0, "id": "c", "type": "function", "function": function}


@pytest.mark.parametrize(
    "delta",
    [
        {"role": "assistant", "content": HUGE},
        {"content": HUGE, "reasoning_content": HUGE + "x"},
        {"tool_calls": [call(HUGE)]},
        {"content": "short"},
        {"content": HUGE, "tool_calls": [call("{}")]},
    ],
)
def test_the_parts_say_what_the_chunk_said(delta: dict[str, Any]) -> None:
    """X7"""
    chunk = {"id": "1", "choices": [{"index": 0, "delta": delta, "finish_reason": "stop"}]}
    whole, apart = Assembly(), Assembly()
    whole.feed(chunk)

    parts = list(parts_of(chunk))
    for part in parts:
        apart.feed(part)

    assert apart.response() == whole.response()
    assert all(len(str(part)) < PIECE_CHARACTERS + 1000 for part in parts)
    ends = [part["choices"][0]["finish_reason"] for part in parts]
    assert ends == [None] * (len(parts) - 1) + ["stop"]
