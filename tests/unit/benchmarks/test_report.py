"""Rows, goals and the table."""

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import Row


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (0.6, "<= 0.6", True),
        (0.61, "<= 0.6", False),
        (2.0, ">= 2", True),
        (1.99, ">= 2", False),
        (0.0, "== 0", True),
        (1.0, "== 0", False),
        (None, ">= 2", False),
        (5.0, None, None),
    ],
)
def test_a_row_knows_whether_its_goal_is_met(
    value: float | None, goal: str | None, met: bool | None
) -> None:
    assert Row("x", value, "ms", goal).met is met


def test_a_goal_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="not a goal"):
        report.parse_goal("about 3")


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.01234, "0.0123"), (12.84, "12.8"), (37001.4, "37,001")]
)
def test_figures_have_three_digits(value: float | None, text: str) -> None:
    assert report.figure(value) == text


def test_the_table_is_aligned_and_the_file_has_all_rows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    rows = [Row("long name", 1234.0, "1/s", ">= 2000"), Row("x", 0.5, "ms")]

    path = report.publish("sample", rows, title="Sample")

    assert json.loads(path.read_text())[0] == {
        "name": "long name",
        "value": 1234.0,
        "unit": "1/s",
        "goal": ">= 2000",
        "met": False,
    }
    assert "long name  1,234  1/s   >= 2000  NO" in capsys.readouterr().out
    assert report.missed(rows) == [rows[0]]
