from __future__ import annotations

import re
from pathlib import Path

import pytest

from llmqueue_project.config import ROOT
from tests.unit.ci.loading import script

commit_subject = script("commit_subject")


@pytest.mark.parametrize(
    "subject",
    [
        "feat(openai): accept images in chat requests",
        "fix(scheduling): keep the slot of a job whose lease was renewed late",
        "perf(balancing): read all endpoints in one round trip",
        "refactor(conversations)!: name the users' endpoint in the singular",
        "bench(overhead): measure again after the pipelined client",
        "style(tests): wrap long lines",
        "ci: refuse subjects that are no imperatives",
        "test(fake_llm): embed a tokenizer",
        "docs: document pauses",
        "fix(embedded): process signals in order",
        "fix(waiting): apply the cap to batches",
        "build: re-lock the requirements",
        "revert: use two connections again",
        "chore(release): 0.2.0",
        "Merge branch 'main' into topic",
        "fixup! fix(scheduling): keep the slot",
    ],
)
def test_imperative_subjects_pass(subject: str) -> None:
    assert commit_subject.fault(subject) == ""


@pytest.mark.parametrize(
    "subject",
    [
        "keep the slot",
        "feature(openai): accept images",
        "feat(openai) accept images",
        "feat(Open AI): accept images",
        "feat(openai): ",
        "fix(scheduling): keep the slot.",
    ],
)
def test_another_form_is_refused(subject: str) -> None:
    assert commit_subject.fault(subject)


@pytest.mark.parametrize(
    "word",
    [
        *("a", "the", "one", "what", "who", "each", "no", "without"),
        *("added", "measured", "locked", "written", "made", "kept"),
        *("adding", "announcing", "fixing"),
        *("adds", "fixes", "endpoints", "levels'", "line", "results"),
        *("fairness", "simulation", "security", "measurement", "recently"),
        *("README", "PostgreSQL", "Add", "/v1", "CI"),
    ],
)
def test_first_words_that_are_no_imperatives_are_refused(word: str) -> None:
    assert word in commit_subject.fault(f"fix(scheduling): {word} something")


def test_the_hook_reads_the_first_line_of_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text("fix(tests): wait for the row\n\nIt was committed late.\n")
    bad.write_text("fix(tests): waiting for the row\n")

    assert commit_subject.main([str(good)]) == 0
    assert commit_subject.main([str(bad)]) == 1
    assert "'waiting'" in capsys.readouterr().err


def test_the_contributors_table_has_the_same_types() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = page.partition("## Commits")[2].partition("The scope is")[0]

    assert re.findall(r"^\| ([a-z]+) \|", table, re.MULTILINE)[1:] == list(commit_subject.TYPES)
