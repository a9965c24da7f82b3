"""The rows, and what stands beside what."""

from dataclasses import replace

import pytest

from benchmarks.scheduling import goals, pictures
from benchmarks.scheduling.contenders import FIFO, PRODUCT
from benchmarks.scheduling.records import Run
from tests.unit.benchmarks.scheduling.making import record, run


def runs(wait: float) -> list[Run]:
    """Both contenders at 130 %: the product's realtime requests wait so long, FIFO's ten times."""
    found = []
    for name, factor in ((PRODUCT, 1), (FIFO, 10)):
        waits = wait * factor
        records = [record(n, n, n + waits, n + waits + 1, level="realtime") for n in range(50)]
        found.append(replace(run(records, load=1.3), contender=name))
    return found


def test_only_the_product_has_goals() -> None:
    rows = {row.name: row for row in goals.rows(runs(0.1))}

    ours = rows["realtime p99 wait / (service / slots) at 130 %, llmqueue"]
    theirs = rows["realtime p99 wait / (service / slots) at 130 %, FIFO"]
    assert ours.met is True
    assert theirs.met is None
    assert theirs.value == pytest.approx(10 * (ours.value or 0))


def test_a_long_wait_misses_its_goal() -> None:
    rows = {row.name: row for row in goals.rows(runs(0.2))}

    assert rows["realtime p99 wait / (service / slots) at 130 %, llmqueue"].met is False


def test_an_error_or_a_lost_request_misses_its_goal() -> None:
    seen = runs(0.1)
    seen[0].records[3].error = "500"
    seen[0].ended_otherwise = 2

    rows = {row.name: row for row in goals.rows(seen)}

    assert (rows["errors, llmqueue"].value, rows["errors, llmqueue"].met) == (1, False)
    assert rows["accepted that did not end exactly once, llmqueue"].met is False


def test_the_table_of_waits_marks_what_was_cut_off() -> None:
    seen = runs(0.1)
    seen[1].stopped = 60.0

    table = goals.wait_table(seen).splitlines()

    assert table[1].split()[:4] == ["130", "%", "llmqueue", "0.10/0.10"]
    assert "1.00/1.00+" in table[2]


def test_the_picture_shows_every_run() -> None:
    svg = pictures.picture(runs(0.1))

    assert "llmqueue, 130 % load" in svg
    assert "FIFO, 130 % load" in svg
