"""Rows of the overhead benchmark, from samples made by hand."""

from __future__ import annotations

import pytest

from benchmarks.measuring import Load, Sample
from benchmarks.overhead_figures import Samples, figures, part_rows
from benchmarks.report import Row

UNLOADED = Load("unloaded", 1, warmup=0, seconds=1)
REQUESTS = Load("requests32", 32, warmup=0, seconds=1)


def sample(**figures: float) -> Sample:
    return Sample({"errors": 0.0, "others_percent": 0.0, **figures}, {})


def by_name(rows: list[Row]) -> dict[str, Row]:
    return {row.name: row for row in rows}


def test_what_is_added_is_measured_within_a_repetition() -> None:
    p50 = {"direct": (1.0, 5.0), "llmqueue": (3.0, 8.0), "litellm": (11.0, 10.0)}
    samples: Samples = {
        (name, "unloaded"): [sample(p50_ms=value) for value in values]
        for name, values in p50.items()
    }

    rows = by_name(figures(samples, [UNLOADED]))

    assert rows["unloaded p50 added, llmqueue"].value == 2.5
    assert rows["unloaded p50 added / LiteLLM's"].value == pytest.approx((2 / 10 + 3 / 5) / 2)


def test_an_error_misses_its_goal_for_llmqueue_alone() -> None:
    samples: Samples = {
        ("llmqueue", "requests32"): [sample(answers_per_second=100.0, errors=1.0)],
        ("litellm", "requests32"): [sample(answers_per_second=50.0, errors=2.0)],
    }

    rows = by_name(figures(samples, [REQUESTS]))

    assert rows["requests at 32 connections / LiteLLM's"].value == 2.0
    assert rows["errors, llmqueue"].met is False
    assert rows["errors, litellm"].met is None


def test_the_endpoint_is_nobodys_part() -> None:
    rows = part_rows("memory", {"llmqueue": {"web": 80.0, "endpoint": 40.0}}, "MB")

    assert [row.name for row in rows] in ([], ["memory, llmqueue: web"])
