"""What do tokens cost? Prices are per million tokens, costs in millionths of the currency."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ANY_MODEL = "*"
HIGHEST = 1_000_000.0
MOST_PRICES = 2000
_PARTS = frozenset({"input", "output", "cached_input"})


@dataclass(frozen=True, slots=True)
class Price:
    """Currency units per million tokens. Without a price, cached input costs as much as input."""

    input: float = 0.0
    output: float = 0.0
    cached_input: float | None = None

    def micros(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """The cost in millionths of the currency, rounded once: tokens x price per million."""
        cached = min(cached_tokens, prompt_tokens)
        cached_price = self.input if self.cached_input is None else self.cached_input
        exact = (
            (prompt_tokens - cached) * self.input
            + cached * cached_price
            + completion_tokens * self.output
        )
        return round(exact)


def prices_of(value: Mapping[str, Any]) -> dict[str, Price]:
    """The prices of an endpoint's `prices` column, by model; `*` stands for all other models.

    An invalid entry is left out. Its model then costs what `*` costs.
    """
    return {
        model: Price(**parts) for model, parts in value.items() if not wrong_price(model, parts)
    }


def wrong_prices(value: Any) -> str:
    """What is wrong with a `prices` column; empty if it is valid."""
    if not isinstance(value, dict):
        return 'A JSON object: {"model or *": {"input": 0.15, "output": 0.6}}'
    if len(value) > MOST_PRICES:
        return f"At most {MOST_PRICES} models"
    return next(filter(None, itertools.starmap(wrong_price, value.items())), "")


def wrong_price(model: Any, parts: Any) -> str:
    """What is wrong with one entry; empty if it is valid."""
    if not isinstance(model, str) or not 0 < len(model) <= 200 or not model.isprintable():
        return "Model names are strings of 1 to 200 printable characters"
    if not isinstance(parts, dict) or not parts or not parts.keys() <= _PARTS:
        return f"{model[:60]}: input, output and cached_input, per million tokens"
    if not all(_is_price(price) for price in parts.values()):
        return f"{model[:60]}: prices are numbers from 0 to {HIGHEST:,.0f}"
    return ""


def _is_price(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    # Both comparisons are false for NaN. Compared as it is: some integers do not fit a float.
    return number and 0 <= value <= HIGHEST
