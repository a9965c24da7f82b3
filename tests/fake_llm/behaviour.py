"""How the endpoint answers: the control fields, and directives inside a prompt.

A prompt may carry `[[tokens=50 tps=20 first=0.2 latency=1 status=503 break_after=5
stall_after=5 times=1 echo]]`; it overrides the control fields for that request. With
`times=N` only the first N attempts at that prompt are treated so.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any

DIRECTIVES = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
ALIASES = {"tps": "tokens_per_second", "first": "first_token"}


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Delays are in seconds; zero means at once, or no limit."""

    models: tuple[str, ...] = ("fake-model",)
    latency: float = 0.0
    """Before the status line."""
    first_token: float = 0.0
    """Between the status line and the first token (added to `latency` when not streaming)."""
    tokens_per_second: float = 0.0
    batch: int = 0
    """So many streams at once halve the pace of each; 0: none slows another. Tokens per second are
    then the endpoint's, of a lone stream; a control changes them for running streams, too."""
    prefill: float = 0.0
    """How long the prompt is read, in output tokens; only with `batch`."""
    tokens: int = 16
    fail_rate: float = 0.0
    """Share of requests answered with `status`."""
    status: int = 500
    retry_after: float = 0.0
    max_concurrent: int = 0
    """Requests above it get 429."""
    break_after: int = -1
    """Tokens after which the connection is cut; -1 never."""
    stall_after: int = -1
    """Tokens after which nothing more is sent; -1 never."""
    echo: bool = False
    healthy: bool = True
    list_status: int = 200
    """Of `GET /v1/models`."""
    seed: int = 0

    def with_fields(self, values: dict[str, Any]) -> Behaviour:
        """A copy with some control fields replaced.

        Raises:
            ValueError: an unknown field, or a value of the wrong type.
        """
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        unknown = values.keys() - known.keys()
        if unknown:
            raise ValueError(f"unknown control fields: {', '.join(sorted(unknown))}")
        return replace(self, **{name: _typed(known[name], v) for name, v in values.items()})

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Directives:
    """What one prompt asks for."""

    overrides: tuple[tuple[str, Any], ...]
    must_fail: bool
    times: int

    def apply(self, behaviour: Behaviour, attempt: int) -> Behaviour:
        if not self.overrides or (self.times and attempt > self.times):
            return behaviour
        changed = behaviour.with_fields(dict(self.overrides))
        return replace(changed, fail_rate=1.0) if self.must_fail else changed


@lru_cache(maxsize=4096)
def directives(prompt: str) -> Directives:
    """The directives written in a prompt; none is the usual case."""
    overrides: dict[str, Any] = {}
    for block in DIRECTIVES.findall(prompt):
        for word in block.split():
            name, _, value = word.partition("=")
            overrides[ALIASES.get(name, name)] = value or "true"
    times = int(overrides.pop("times", 0))
    return Directives(tuple(overrides.items()), "status" in overrides, times)


def without_directives(prompt: str) -> str:
    return DIRECTIVES.sub("", prompt).strip()


def _typed(current: Any, value: Any) -> Any:
    """`value` as the type of the field's present value."""
    if isinstance(current, bool):
        return value if isinstance(value, bool) else str(value).lower() in {"1", "true", "yes"}
    if isinstance(current, tuple):
        names = value.split(",") if isinstance(value, str) else value
        return tuple(str(name).strip() for name in names)
    return type(current)(value)
