"""The Pythons that llmqueue runs on: make finds them, and every page names the same ones."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llmqueue_project.config import ROOT

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
STATED = re.compile(r"Python (3\.\d+) (?:to|至) (3\.\d+)")

# Stands for an interpreter of any version: it decides as that version would, and creates nothing.
INTERPRETER = """#!/bin/sh
case "$1" in
--version) echo "Python {version}.0" ;;
-c) exec "{python}" -c 'import sys; sys.version_info = ({parts}, 0); exec(sys.argv[1])' "$2" ;;
*) exit 1 ;;
esac
"""


def supported() -> list[str]:
    """The Makefile's list, oldest first."""
    found = re.search(r"^PYTHONS := (.+)$", MAKEFILE, re.MULTILINE)
    assert found
    return found[1].split()[::-1]


def interpreter(path: Path, version: str) -> Path:
    path.write_text(
        INTERPRETER.format(version=version, parts=version.replace(".", ", "), python=sys.executable)
    )
    path.chmod(0o755)
    return path


def make_install(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make install` into a new virtual environment; interpreters in the folder are found first."""
    environment = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    return subprocess.run(
        ["make", "install", f"VENV={folder / 'venv'}", *arguments],
        cwd=ROOT,
        env={**environment, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_make_takes_a_supported_python(tmp_path: Path, version: str) -> None:
    python = interpreter(tmp_path / "python", version)

    made = make_install(tmp_path, f"PYTHON={python}")

    assert f"Creating {tmp_path / 'venv'} with Python {version}.0" in made.stdout


@pytest.mark.parametrize("version", ["3.10", "3.15"])
def test_make_names_the_python_that_it_refuses(tmp_path: Path, version: str) -> None:
    python = interpreter(tmp_path / "python", version)

    made = make_install(tmp_path, f"PYTHON={python}")

    assert "Creating" not in made.stdout
    assert (
        f"llmqueue needs Python {supported()[0]} to {supported()[-1]}; "
        f"{python} is Python {version}.0." in made.stderr
    )


def test_make_says_when_the_python_is_missing(tmp_path: Path) -> None:
    made = make_install(tmp_path, f"PYTHON={tmp_path / 'python'}")

    assert f"{tmp_path / 'python'} is missing." in made.stderr


def test_make_names_the_package_of_a_missing_venv_module(tmp_path: Path) -> None:
    python = interpreter(tmp_path / "python3.14", "3.14")
    without_venv = 'case "$2" in "import venv"*) exit 1 ;; esac; exec'
    python.write_text(python.read_text().replace("exec", without_venv, 1))

    made = make_install(tmp_path, f"PYTHON={python}")

    assert f"{python} has no venv module" in made.stderr
    assert "apt install python3.14-venv" in made.stderr


def test_make_takes_the_newest_supported_python_where_python3_is_refused(tmp_path: Path) -> None:
    interpreter(tmp_path / "python3", "3.15")
    for version in ("3.11", "3.12", "3.13", "3.14"):
        interpreter(tmp_path / f"python{version}", version)

    made = make_install(tmp_path, "PYTHON=")

    assert "with Python 3.14.0" in made.stdout


def test_the_package_requires_what_make_takes() -> None:
    oldest, newest = supported()[0], supported()[-1]
    first_refused = f"3.{int(newest.removeprefix('3.')) + 1}"

    assert supported() == [f"3.{minor}" for minor in range(11, 11 + len(supported()))]
    assert PROJECT["project"]["requires-python"] == f">={oldest},<{first_refused}"


def test_tools_and_lock_files_reckon_with_the_oldest_python() -> None:
    oldest = supported()[0]

    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    assert PROJECT["tool"]["mypy"]["python_version"] == oldest
    assert f"--python-version {oldest} " in MAKEFILE


@pytest.mark.parametrize(
    "name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "Makefile", ".ci/run"]
)
def test_every_page_states_the_same_range(name: str) -> None:
    stated = STATED.findall((ROOT / name).read_text(encoding="utf-8"))

    assert stated
    assert set(stated) == {(supported()[0], supported()[-1])}
