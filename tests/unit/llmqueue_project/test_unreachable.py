"""A command whose server is away says so, with the address and without a secret."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from redis.exceptions import ConnectionError as ValkeyConnectionError

from llmqueue_project.config import configuration
from llmqueue_project.embedded.ports import free_port
from llmqueue_project.unreachable import _address, missing_server


def test_a_database_is_named_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"postgresql://user:sentinel@127.0.0.1:{free_port()}/queue"
    monkeypatch.setenv("DATABASE_URL", url)
    configuration.cache_clear()
    try:
        said = missing_server(OperationalError("couldn't get a connection after 10.00 sec"))
    finally:
        configuration.cache_clear()

    assert said.startswith(f"the database at {url.rpartition('@')[2]} (DATABASE_URL) cannot be")
    assert "refused" in said
    assert "sentinel" not in said


def test_valkey_is_named_by_its_setting() -> None:
    assert "(REDIS_URL) cannot be reached: refused" in missing_server(
        ValkeyConnectionError("refused")
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@db:5433/llm?x=y", "db:5433/llm"),
        ("postgresql:///llm", "localhost:5432/llm"),
        ("postgresql://u@[::1]/llm", "[::1]:5432/llm"),
        ("postgresql://u:p@a:1,b:2/llm", "a:1,b:2/llm"),
    ],
)
def test_an_address_has_neither_user_nor_password(url: str, shown: str) -> None:
    assert _address(url, 5432) == shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:sen/tinel@db/llm",
        "postgresql://u:12/tinel@db/llm",
        "redis://:sen#tinel@db:6379/0",
        "redis://:sen?tinel@db:6379/0",
        "redis://:12?tinel@db:6379/0",
    ],
)
def test_of_a_password_that_is_not_quoted_nothing_is_told(url: str) -> None:
    assert _address(url, 5432) == "an address that cannot be read"
