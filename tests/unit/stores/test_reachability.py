"""Whether PostgreSQL answers, asked by a connection of one's own."""

from __future__ import annotations

import psycopg
import pytest

from llmqueue_project.config import configuration
from stores.reachability import Reachability


def test_a_database_that_is_there_answers() -> None:
    assert Reachability().database_answers()


@pytest.mark.parametrize(
    ("message", "answers"),
    [
        ("connection refused", False),
        ("connection timeout expired", False),
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  remaining connection slots are reserved for roles with SUPERUSER", True),
    ],
)
def test_one_whose_connections_are_all_in_use_answers_too(
    message: str, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(url: str, **_: object) -> object:
        assert url == configuration().database_url.get_secret_value()
        raise psycopg.OperationalError(message)

    monkeypatch.setattr(psycopg, "connect", connect)

    assert Reachability().database_answers() is answers


def test_it_is_asked_once_a_second() -> None:
    asked = []

    def ask() -> bool:
        asked.append(1)
        return False

    known = Reachability(ask)

    assert [known.database_answers() for _ in range(50)] == [False] * 50
    assert len(asked) == 1
