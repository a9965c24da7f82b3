"""The hot path's own connections for tests: no ORM, no transaction that hides rows from others.

They use Django's test database, emptied before each test, and a Valkey database of their own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from llmqueue_project.config import configuration
from llmqueue_project.embedded.services import Services
from scheduling.dispatch.claimed import Claimed
from scheduling.models import Api, Priority, Source, Status
from scheduling.specs import JobSpec, Receipt, parameters, receipts
from scheduling.statements import SUBMIT
from stores import postgres as hot_database
from stores.postgres import Database, fetch
from stores.valkey import Valkey

MODEL = "m"
TABLES = """
select tablename from pg_tables
 where schemaname = 'public' and tablename <> 'scheduling_levelclock'
   and (tablename like 'scheduling%' or tablename like 'balancing%'
        or tablename like 'conversations%')
"""
CLOCKS = """
insert into scheduling_levelclock (level, virtual_time) values (0, 0), (1, 0), (2, 0), (3, 0)
    on conflict (level) do update set virtual_time = 0
"""


def test_database_url() -> str:
    from django.db import connection

    name = connection.settings_dict["NAME"]
    assert name.startswith("test_"), "only Django's test database may be emptied"
    parts = urlsplit(configuration().database_url.get_secret_value())
    return urlunsplit(parts._replace(path=f"/{name}"))


test_database_url.__test__ = False  # type: ignore[attr-defined]  # its name is no test's


@pytest.fixture
async def database(db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Db]:
    """An empty test database through the pools that a worker uses."""
    url = test_database_url()
    await _empty(url)
    config = configuration().model_copy(update={"database_url": SecretStr(url)})
    monkeypatch.setattr(hot_database, "configuration", lambda: config)
    async with Database(4) as opened:
        yield Db(opened)
    # Committed rows: tests that roll back would find them.
    await _empty(url)


async def _empty(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        tables = [row[0] for row in await (await connection.execute(TABLES)).fetchall()]
        await connection.execute(f"truncate {', '.join(tables)} cascade".encode())
        await connection.execute(CLOCKS)


@pytest.fixture
async def valkey(services: Services) -> AsyncIterator[Redis]:
    """An empty Valkey database that no stack uses, through the client that processes have."""
    url = services.redis_url.rsplit("/", 1)[0] + "/9"
    async with Valkey.from_url(url) as client:
        await client.flushdb()
        yield client


class Db:
    """The test database: statements, and rows as tests arrange them."""

    def __init__(self, pools: Database) -> None:
        self.pools = pools

    async def rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        return await fetch(self.pools.durable, statement, values or None)

    async def one(self, statement: str, **values: Any) -> tuple[Any, ...]:
        (row,) = await self.rows(statement, **values)
        return row

    async def run(self, statement: str, **values: Any) -> None:
        async with self.pools.durable.connection() as connection:
            await connection.execute(statement.encode(), values or None)

    async def flow(self, name: str = "flow", weight: float = 1.0) -> int:
        row = await self.one(
            "insert into scheduling_flow (key, name, weight, created_at)"
            " values (%(name)s, %(name)s, %(weight)s, now()) returning id",
            name=name,
            weight=weight,
        )
        return int(row[0])

    async def submit(self, *specs: JobSpec) -> list[Receipt]:
        found = receipts([(r[0], r[1], r[2], r[3]) for r in await self.send(specs)])
        return [found[spec.id] for spec in specs]

    async def send(self, specs: Sequence[JobSpec]) -> list[tuple[Any, ...]]:
        return await self.rows(SUBMIT, **parameters(specs))

    async def job(self, job_id: UUID, columns: str) -> tuple[Any, ...]:
        return await self.one(f"select {columns} from scheduling_job where id = %(id)s", id=job_id)

    async def status(self, job_id: UUID) -> Status:
        return Status((await self.job(job_id, "status"))[0])


def spec(flow_id: int, **fields: Any) -> JobSpec:
    values: dict[str, Any] = {
        "level": Priority.NORMAL,
        "model": MODEL,
        "body": "{}",
        "tenant_id": uuid4(),
        "cost": 10.0,
        "source": Source.OPENAI,
    }
    return JobSpec(flow_id=flow_id, **{**values, **fields})


def claimed(**fields: Any) -> Claimed:
    """A leased job as a claim returns it, for tests without a database."""
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "id": uuid4(),
        "level": int(Priority.NORMAL),
        "lease_token": uuid4(),
        "attempts": 1,
        "max_attempts": 3,
        "model": MODEL,
        "api": Api.CHAT,
        "source": Source.OPENAI,
        "stream": False,
        "origin": "web",
        "request_id": "r",
        "flow_id": 1,
        "sequence_key": None,
        "cost": 10.0,
        "created_at": now,
        "started_at": now,
        "deadline_at": None,
        "affinity": "",
        "allow_fallback": False,
        "body": "{}",
    }
    return Claimed(**{**values, **fields})
