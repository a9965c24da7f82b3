from __future__ import annotations

from pathlib import Path

import pytest

from llmqueue_project.embedded import console


def test_tail_shows_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("".join(f"line {number}\n" for number in range(10_000)))

    assert console.tail(path, 2) == "line 9998\nline 9999"


def test_a_missing_log_is_no_second_failure(tmp_path: Path) -> None:
    assert "cannot be read" in console.tail(tmp_path / "missing")


def test_a_step_says_how_it_ended(capsys: pytest.CaptureFixture[str]) -> None:
    with console.step("one"):
        pass
    with pytest.raises(ValueError), console.step("two"):
        raise ValueError

    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("  one")
    assert first.endswith(" s")
    assert second.endswith("failed")


def test_a_complaint_carries_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "web.log"
    path.write_text("the reason\n")

    console.complain("web ended", path)

    errors = capsys.readouterr().err
    assert "llmqueue: web ended" in errors
    assert "the reason" in errors
