"""Statements and how long they may take."""

from __future__ import annotations

import psycopg
import pytest

from stores import postgres
from stores.postgres import fetch
from tests.hot_path import Db


async def test_a_statement_of_the_sweep_may_take_longer_than_one_of_the_hot_path(
    database: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a pause moves all its jobs at once: ended early, it would never be done."""
    monkeypatch.setattr(postgres, "SILENT_SECONDS", 0.1)

    async with database.pools.transaction() as run:
        assert await run("select 1 from pg_sleep(0.3)") == [(1,)]
    with pytest.raises(psycopg.OperationalError):
        await fetch(database.pools.relaxed, "select pg_sleep(5)", seconds=0.1)
