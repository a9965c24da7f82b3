"""Addresses of PostgreSQL as libpq takes them, with limits on silence."""

from __future__ import annotations

from typing import Any

import pytest

from stores.postgres_address import DEAD_AFTER, BadAddress, parameters


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "postgresql://u:p%40x@h/db",
            {"user": "u", "password": "p@x", "host": "h", "dbname": "db"},
        ),
        (
            "postgresql://u@h1:5432,h2:5433/db?target_session_attrs=read-write",
            {"host": "h1,h2", "port": "5432,5433", "target_session_attrs": "read-write"},
        ),
        ("postgresql:///db?host=h1,h2&port=1,2", {"host": "h1,h2", "port": "1,2"}),
        ("postgresql:///db?host=/run/postgresql", {"host": "/run/postgresql"}),
        ("postgres://u@[::1]:3/db", {"host": "::1", "port": "3"}),
        ("host=h1,h2 port=1,2 dbname=db", {"host": "h1,h2", "dbname": "db"}),
    ],
)
def test_d4_every_spelling_of_libpq_is_taken(url: str, wanted: dict[str, Any]) -> None:
    found = parameters(url)

    assert {name: found[name] for name in wanted} == wanted
    assert {name: found[name] for name in DEAD_AFTER} == DEAD_AFTER


def test_what_the_url_says_wins() -> None:
    found = parameters("postgresql:///db?tcp_user_timeout=1&application_name=mine")

    assert (found["tcp_user_timeout"], found["application_name"]) == ("1", "mine")


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:sentinel@h/db?no_such_parameter=1", "postgresql://u:sentinel/more@h/db"],
)
def test_a_wrong_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadAddress) as caught:
        parameters(url)

    assert "sentinel" not in str(caught.value)
