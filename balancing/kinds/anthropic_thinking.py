"""Thinking and sampling as Claude takes them together; what cannot go together is left out.

Sources: platform.claude.com/docs/en/build-with-claude/extended-thinking and .../adaptive-thinking,
.../about-claude/models/migration-guide (from 4.7 on: no sampling, no budgets; from 4.1 on: either
temperature or top_p).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from balancing.kinds import shape
from balancing.kinds.history import ASSISTANT, Thought, Turn
from balancing.kinds.shape import Json

LEAST_BUDGET = 1024
# With thinking, Claude takes no lower one.
LEAST_TOP_P = 0.95
_ONE_OF_TWO, _NO_SAMPLING = (4, 1), (4, 7)
_VERSION = re.compile(r"claude-(?:[a-z]+-)?(\d+)(?:[-.](\d{1,2}))?(?!\d)")


def thinking(body: Json, turns: Sequence[Turn], *, forces_tool: bool) -> Json | None:
    """The request's `thinking` as Claude takes it; None to leave it out.

    It is left out beside a forced tool, where the thought that belongs to a tool's result is gone,
    and where the limit of the answer leaves no room for the smallest budget.
    """
    wanted: Json | None = body.get("thinking")
    if not wanted:
        return None
    if not isinstance(wanted, dict) or (
        wanted.get("type") == "enabled" and wanted.get("budget_tokens") is None
    ):
        raise shape.unsupported(
            'thinking is {"type": "enabled", "budget_tokens": ...} or {"type": "adaptive"}',
            "thinking",
        )
    if wanted.get("type") not in ("enabled", "adaptive"):
        return wanted
    if forces_tool:
        return None
    if wanted["type"] == "adaptive":
        return wanted
    if _version(body["model"]) >= _NO_SAMPLING:
        others = {name: value for name, value in wanted.items() if name != "budget_tokens"}
        return {**others, "type": "adaptive"}
    return None if _has_lost_its_thought(turns) else _within(wanted, shape.limit(body))


def _within(wanted: Json, limit: int | None) -> Json | None:
    """Thinking whose budget is above the smallest one and below the limit of the answer."""
    budget = max(int(wanted["budget_tokens"]), LEAST_BUDGET)
    if limit is not None and budget >= limit:
        # Half of the limit is left for the answer.
        budget = max(limit // 2, LEAST_BUDGET)
        if budget >= limit:
            return None
    return {**wanted, "budget_tokens": budget}


def _has_lost_its_thought(turns: Sequence[Turn]) -> bool:
    """Whether the running exchange with tools, or a prefill, begins without a signed thought."""
    running = []
    for turn in reversed(turns):
        if turn.role == ASSISTANT:
            running.append(turn)
        elif not turn.results or (turn.items and turn is not turns[-1]):
            break
    return bool(running) and not any(isinstance(turn.items[0], Thought) for turn in running)


def sampling(body: Json, *, thinks: bool) -> Json:
    """Temperature, top_p and top_k, as far as the model takes them."""
    version = _version(body["model"])
    if version >= _NO_SAMPLING:
        return {}
    temperature, top_p = body.get("temperature"), body.get("top_p")
    if temperature is not None:
        temperature = min(float(temperature), 1.0)
    top_k = shape.above_zero(body, "top_k")
    if thinks:
        temperature = top_k = None
        top_p = top_p if top_p is not None and top_p >= LEAST_TOP_P else None
    elif temperature is not None and top_p is not None and version >= _ONE_OF_TWO:
        # 1 is what the model does anyway.
        temperature, top_p = (None, top_p) if temperature == 1.0 else (temperature, None)
    asked = {"temperature": temperature, "top_p": top_p, "top_k": top_k}
    return {name: value for name, value in asked.items() if value is not None}


def _version(model: str) -> tuple[int, int]:
    """Such as (4, 5) of `claude-sonnet-4-5-20250929`; (0, 0) of another name."""
    found = _VERSION.search(model)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)
