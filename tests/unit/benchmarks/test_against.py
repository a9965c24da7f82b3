"""This tree beside another commit's: how turns become figures."""

from __future__ import annotations

import pytest

from benchmarks import against
from benchmarks.measuring import Load, Sample

UNLOADED = Load("unloaded", 1, warmup=0.0, seconds=1.0, calls=100)


def sample(p50_ms: float, *, worker: float = 0.2, errors: float = 0.0) -> Sample:
    """100 answers in a second."""
    figures = {"p50_ms": p50_ms, "answers_per_second": 100.0, "seconds": 1.0, "errors": errors}
    return Sample(figures, {"worker": worker, "load": 0.01})


def test_the_ratio_is_the_median_of_the_turns_own() -> None:
    """Between turns the machine may change its mood; within one it meets both."""
    pairs = [(sample(5), sample(5)), (sample(22), sample(20)), (sample(3), sample(2))]

    rows = {row.name: row for row in against._rows(UNLOADED, pairs, "abc")}

    ratio = rows["unloaded p50 / that of abc"]
    assert ratio.value == pytest.approx(1.1)
    assert ratio.met is False
    assert rows["unloaded p50, this tree"].value == 5
    assert rows["unloaded, errors"].met


def test_cpu_is_shown_of_both_but_not_of_the_generator() -> None:
    pairs = [(sample(5, worker=0.2), sample(5, worker=0.3))]

    rows = {row.name: row.value for row in against._cpu_rows(UNLOADED, pairs, "abc")}

    assert rows == {
        "unloaded, CPU of worker": pytest.approx(2.0),
        "unloaded, CPU of worker, abc": pytest.approx(3.0),
    }


def test_a_commit_that_does_not_exist_is_said_so() -> None:
    with pytest.raises(SystemExit, match="no-such-commit"), against._tree("no-such-commit"):
        pass
