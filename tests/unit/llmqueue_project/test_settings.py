from __future__ import annotations

import pytest

from llmqueue_project.settings import database
from stores.postgres_address import DEAD_AFTER


def test_a_url_becomes_djangos_settings() -> None:
    found = database("postgresql://ada:s%40crt@db.example:6432/queue%20one", pool_size=7)

    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db.example", "6432", "queue one")
    assert (found["USER"], found["PASSWORD"]) == ("ada", "s@crt")
    assert found["OPTIONS"]["pool"]["max_size"] == 7


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("", {"application_name": "llmqueue"}),
        ("?sslmode=verify-full", {"application_name": "llmqueue", "sslmode": "verify-full"}),
        ("?application_name=mine", {"application_name": "mine"}),
    ],
)
def test_the_urls_query_goes_to_libpq(query: str, options: dict[str, str]) -> None:
    found = database(f"postgresql:///queue{query}", pool_size=1)["OPTIONS"]

    ours = {"pool", *DEAD_AFTER}
    assert {name: value for name, value in found.items() if name not in ours} == options
    assert database("postgresql:///queue", 1)["HOST"] == ""
