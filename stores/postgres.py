"""The hot path's PostgreSQL connections: a few of each kind, plain SQL, no ORM.

`durable` commits are on disk when they return: submit and finish use it. `relaxed` ones may be
lost by a crash of the server, never half-done: a claim or a heartbeat that vanishes is repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from llmqueue_project.config import configuration

READ_PATIENCE_SECONDS = 3.0
# What one bad row of a group may raise: a NUL, a text that is no Unicode.
UNSTORABLE = (psycopg.DataError, orjson.JSONEncodeError)
Connections = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
# Runs a statement with parameters by name and gives its rows.
Run = Callable[..., Awaitable[list[tuple[Any, ...]]]]


def _connections(name: str, size: int, options: str) -> Connections:
    parts = urlsplit(configuration().database_url.get_secret_value())
    query = urlencode([*parse_qsl(parts.query), ("application_name", "llmqueue")])
    return AsyncConnectionPool(
        urlunsplit(parts._replace(query=query)),
        min_size=1,
        max_size=size,
        timeout=5,
        reconnect_timeout=3600,
        name=name,
        open=False,
        kwargs={"autocommit": True, "options": options, "connect_timeout": 5},
    )


class Database:
    """The connections of a process, durable and relaxed; an asynchronous context manager."""

    def __init__(self, size: int) -> None:
        keepalive = "-c idle_in_transaction_session_timeout=30s -c timezone=UTC"
        self.durable = _connections("durable", size, keepalive)
        self.relaxed = _connections("relaxed", size, f"{keepalive} -c synchronous_commit=off")

    async def __aenter__(self) -> Database:
        await self.durable.open()
        await self.relaxed.open()
        return self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Run]:
        """One durable transaction of several statements: `await run(STATEMENT, limit=5)`.

        Raises:
            psycopg.OperationalError: the server is away.
        """
        async with self.durable.connection() as connection, connection.transaction():

            async def run(statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
                return await (await connection.execute(statement, parameters or None)).fetchall()

            yield run

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.durable.close(timeout=2)
        await self.relaxed.close(timeout=2)


async def read(
    connections: Connections, statement: str, parameters: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """The rows of a statement that changes nothing, past connections that a restart broke.

    Raises:
        psycopg.OperationalError: the server stayed away for `READ_PATIENCE_SECONDS`.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + READ_PATIENCE_SECONDS
    while True:
        try:
            return await fetch(connections, statement, parameters)
        except psycopg.OperationalError:
            if loop.time() >= deadline:
                raise
            await asyncio.sleep(0.05)


async def fetch(
    connections: Connections, statement: str, parameters: dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """The rows of one statement, in a transaction of its own.

    Raises:
        psycopg.OperationalError: the server is away, or no connection came free in time
            (`psycopg_pool.PoolTimeout` is one).
    """
    async with connections.connection() as connection:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall()
