"""Job specifications, their cost, and the arrays they become."""

from __future__ import annotations

from uuid import uuid4

import pytest

from llmqueue_project.config import load
from scheduling.models import Priority, Status
from scheduling.statements import SUBMIT
from scheduling.submission import actual_cost, estimate_cost, parameters, receipts
from tests.hot_path import spec


@pytest.mark.parametrize(
    ("chars", "output_tokens", "cost"),
    [
        pytest.param(400, 10.5, 100 + 2 * 10.5, id="four characters a token"),
        pytest.param(0, 1, 1 + 2, id="nothing costs something"),
    ],
)
def test_cost_is_input_and_twice_the_output(chars: int, output_tokens: float, cost: float) -> None:
    assert estimate_cost("x" * chars, output_tokens) == cost


def test_the_actual_cost_is_in_the_same_unit() -> None:
    assert actual_cost(100, 10) == estimate_cost("x" * 400, 10)


def test_one_array_for_every_parameter_of_the_statement() -> None:
    specs = [spec(1, level=Priority.LOW, body="a"), spec(2, max_attempts=7, body="b")]

    arrays = parameters(specs)

    assert all(f"%({name})s" in SUBMIT for name in arrays)
    assert SUBMIT.count("%(") == len(arrays)
    assert {len(array) for array in arrays.values()} == {2}
    assert arrays["id"] == [specs[0].id, specs[1].id]
    assert arrays["level"] == [3, 2]
    assert arrays["flow_id"] == [1, 2]
    assert arrays["body"] == ["a", "b"]
    assert arrays["max_attempts"] == [load().scheduling.max_attempts, 7]


def test_receipts_are_found_by_job() -> None:
    first, second = uuid4(), uuid4()

    found = receipts([(first, "queued", "", 1.5), (second, "held", "due", 2.0)])

    assert found[first].status is Status.QUEUED
    assert found[first].fair_tag == 1.5
    assert (found[second].status, found[second].held_reason) == (Status.HELD, "due")
