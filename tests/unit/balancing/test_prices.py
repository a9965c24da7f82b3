"""Costs in millionths, and what a price list may look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancing.prices import Price, prices_of, wrong_prices

TOKENS = st.integers(min_value=0, max_value=10_000_000)
PRICES = st.floats(min_value=0, max_value=1000)


def test_a_price_a_million_is_a_millionth_a_token() -> None:
    price = Price(input=0.15, output=0.6)

    assert price.micros(prompt_tokens=1_000, completion_tokens=500) == 150 + 300


def test_cached_input_has_its_own_price() -> None:
    price = Price(input=2.0, output=0.0, cached_input=0.5)

    assert price.micros(prompt_tokens=100, completion_tokens=0, cached_tokens=60) == 80 + 30


def test_cached_input_without_a_price_costs_as_much_as_other_input() -> None:
    price = Price(input=2.0)

    assert price.micros(prompt_tokens=100, completion_tokens=0, cached_tokens=60) == 200


def test_cached_input_free_of_charge_is_free() -> None:
    price = Price(input=2.0, cached_input=0.0)

    assert price.micros(prompt_tokens=100, completion_tokens=0, cached_tokens=100) == 0


@given(prompt=TOKENS, completion=TOKENS, cached=TOKENS, inputs=PRICES, outputs=PRICES)
def test_a_cost_is_never_negative_and_grows_with_output(
    prompt: int, completion: int, cached: int, inputs: float, outputs: float
) -> None:
    price = Price(input=inputs, output=outputs)

    cost = price.micros(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)
    more = price.micros(
        prompt_tokens=prompt, completion_tokens=completion + 10, cached_tokens=cached
    )

    assert 0 <= cost <= more


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"m": 1},
        {"m": {}},
        {"": {"input": 1}},
        {"m": {"inputs": 1}},
        {"m": {"input": "1"}},
        {"m": {"input": True}},
        {"m": {"input": -1}},
        {"m": {"input": float("nan")}},
        {"m": {"input": 1e12}},
    ],
)
def test_a_wrong_price_list_is_told(value: Any) -> None:
    assert wrong_prices(value)


def test_a_right_price_list_is_read() -> None:
    value: dict[str, dict[str, float]] = {
        "*": {"input": 1},
        "m": {"input": 0.5, "output": 2, "cached_input": 0},
    }

    assert wrong_prices(value) == ""
    assert prices_of(value)["m"] == Price(0.5, 2, 0)


@pytest.mark.parametrize("price", [10**400, float("nan"), float("inf"), -1])
def test_what_is_no_price_is_said_whatever_its_size(price: Any) -> None:
    assert "prices are numbers" in wrong_prices({"m": {"input": price}})


def test_a_list_of_prices_is_bounded() -> None:
    assert wrong_prices({str(n): {"input": 1} for n in range(100_000)})
