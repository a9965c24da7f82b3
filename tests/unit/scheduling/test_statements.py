"""The statements as they are read from their files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from psycopg._queries import MAX_CACHED_STATEMENT_LENGTH

from scheduling import statements
from scheduling.models import Job

FOLDER = Path(statements.__file__).parent / "sql"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sql"))


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_a_statement_without_comments(name: str) -> None:
    text = statements.statement(name)

    assert getattr(statements, name.upper()) == text.replace("{rows}", statements.GIVEN)
    assert "--" not in text
    assert not re.search(r"\{\w", text.replace("{rows}", "")), "a part or a constant is missing"
    assert "%" not in text.replace("%(", ""), "psycopg would take it for a parameter"


@pytest.mark.parametrize("name", NAMES)
def test_psycopg_remembers_how_it_took_a_statement_apart(name: str) -> None:
    assert len(getattr(statements, name.upper())) <= MAX_CACHED_STATEMENT_LENGTH


@pytest.mark.parametrize("name", NAMES)
def test_every_index_named_in_a_comment_exists(name: str) -> None:
    known = {index.name for index in Job._meta.indexes}
    comments = [
        line for line in (FOLDER / f"{name}.sql").read_text().splitlines() if line.startswith("--")
    ]
    words = " ".join(comments).replace(",", " ").replace(".", " ").split()

    named = {word for word in words if word.startswith("job_")}

    assert named <= known
    assert len(comments) >= 1, "a statement says what it does"
