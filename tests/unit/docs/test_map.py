"""The map of the code in docs/architecture.md: what it names exists, and no folder is missing."""

from __future__ import annotations

import re

import pytest

from llmqueue_project.config import ROOT

APPS = ("conversations", "scheduling", "balancing", "stores")
ROW = re.compile(r"^\| `(?P<folder>[\w./]+/)` \| [^|]+ \| (?P<files>[^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"`([\w.]+(?:/[\w.]*)*)`")


def text() -> str:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return page.partition("## Where the code is")[2]


def named() -> list[str]:
    """Every folder and file that the map names."""
    found = set(NAME.findall(ROW.sub("", text())))
    for row in ROW.finditer(text()):
        found |= {row["folder"], *(row["folder"] + name for name in NAME.findall(row["files"]))}
    return sorted(name for name in found if "/" in name.rstrip("/"))


@pytest.mark.parametrize("path", named())
def test_what_the_map_names_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("app", APPS)
def test_every_folder_of_an_app_is_on_the_map(app: str) -> None:
    mapped = {row["folder"].rstrip("/") for row in ROW.finditer(text())}
    folders = {
        str(path.parent.relative_to(ROOT))
        for path in (ROOT / app).glob("*/*")
        if path.suffix in {".py", ".sql"} and path.parent.name != "migrations"
    }

    assert {
        folder
        for folder in folders
        if not any(f"{each}/".startswith(f"{folder}/") for each in mapped)
    } == set()
