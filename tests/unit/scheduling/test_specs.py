"""Job specifications, their cost, and the JSON they become."""

from __future__ import annotations

import json
import re
from uuid import uuid4

import pytest

from llmqueue_project.config import configuration
from scheduling.models import Priority, Status
from scheduling.specs import (
    COLUMNS,
    actual_cost,
    estimate_cost,
    input_tokens,
    parameters,
    receipts,
)
from scheduling.statements import GIVEN, SUBMIT
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


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        pytest.param('{"url":"data:image/png;base64,' + "A" * 4_000_000 + '"}', 4506, id="A21"),
        pytest.param('{"url":"data:image/png;base64,' + "A" * 100 + '"}', 33, id="an icon"),
        pytest.param(
            '["' + "a;base64," + "A" * 10_000 + '","' + "b;base64," + "A" * 10_000 + '"]',
            1022,
            id="two",
        ),
        pytest.param('{"text":";base64,' + "a word " * 1000 + '"}', 1754, id="text"),
        pytest.param(";base64," + "A" * 8000, 2002, id="no JSON"),
    ],
)
def test_an_attached_file_is_no_text(body: str, tokens: int) -> None:
    assert input_tokens(body) == tokens


def test_the_actual_cost_is_in_the_same_unit() -> None:
    assert actual_cost(100, 10) == estimate_cost("x" * 400, 10)


def test_a_group_is_one_json_array_that_the_statement_reads() -> None:
    specs = [spec(1, level=Priority.LOW, body="a"), spec(2, max_attempts=7, body='{"b": "ü"}')]

    values = parameters(specs)

    assert set(re.findall(r"%\((\w+)\)s", SUBMIT)) == set(values)
    assert values["max_attempts"] == configuration().scheduling.max_attempts
    first, second = json.loads(values["jobs"].obj)
    assert (first["id"], second["id"]) == (str(specs[0].id), str(specs[1].id))
    assert (first["level"], second["level"]) == (3, 2)
    assert (first["flow_id"], second["flow_id"]) == (1, 2)
    assert (first["body"], second["body"]) == ("a", '{"b": "ü"}')
    assert (first["max_attempts"], second["max_attempts"]) == (None, 7)
    assert set(COLUMNS) <= set(re.findall(r"(\w+) [a-z]", GIVEN)), "each field is a column"


def test_receipts_are_found_by_job() -> None:
    first, second = uuid4(), uuid4()

    found = receipts([(first, "queued", "", 1.5), (second, "held", "due", 2.0)])

    assert found[first].status is Status.QUEUED
    assert found[first].fair_tag == 1.5
    assert (found[second].status, found[second].held_reason) == (Status.HELD, "due")
