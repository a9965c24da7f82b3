"""The hot path's PostgreSQL connections: a few of each kind, plain SQL, no ORM.

`durable` commits are on disk when they return: submit and finish use it. `relaxed` ones may be
lost by a crash of the server, never half-done: a claim or a heartbeat that vanishes is repeated.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any

import orjson
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from llmqueue_project.config import configuration
from stores.pooler import refuse_pooler
from stores.postgres_address import parameters

log = structlog.get_logger(__name__)
READ_PATIENCE_SECONDS = 3.0
# A statement of the hot path takes milliseconds. After so long the server is frozen or gone.
SILENT_SECONDS = 10.0
# One of the sweep may move all jobs of a pause: half a million take a minute.
SWEEP_SECONDS = 120.0
# How long a statement waits for a free connection, and the shortest time that it gets itself.
POOL_SECONDS, LEAST_SECONDS = 5.0, 0.5
SESSION = "-c idle_in_transaction_session_timeout=30s -c timezone=UTC"
# What one bad row of a group may raise: a NUL, a text that is no Unicode.
UNSTORABLE = (psycopg.DataError, orjson.JSONEncodeError)
Connections = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
# Runs a statement with parameters by name and gives its rows.
Run = Callable[..., Awaitable[list[tuple[Any, ...]]]]


def _address(options: str) -> dict[str, Any]:
    """What to connect with, for sessions of these settings."""
    address = parameters(configuration().database_url.get_secret_value())
    given = address.pop("options", "")
    return {**address, "autocommit": True, "options": f"{given} {options}".strip()}


def _connections(name: str, size: int, options: str) -> Connections:
    return AsyncConnectionPool(
        min_size=1,
        max_size=size,
        timeout=POOL_SECONDS,
        reconnect_timeout=3600,
        name=name,
        open=False,
        kwargs=_address(options),
    )


# The event loop itself holds tasks weakly.
_draining: set[asyncio.Future[None]] = set()


class Database:
    """The connections of a process, durable and relaxed; an asynchronous context manager."""

    def __init__(self, size: int) -> None:
        self.durable = _connections("durable", size, SESSION)
        self.relaxed = _connections("relaxed", size, f"{SESSION} -c synchronous_commit=off")

    async def __aenter__(self) -> Database:
        """
        Raises:
            PoolerBetween
        """
        await refuse_pooler(_address(SESSION))
        await self.durable.open()
        await self.relaxed.open()
        return self

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Run]:
        """One durable transaction of several statements: `await run(STATEMENT, limit=5)`.

        Each may take `SWEEP_SECONDS`: what is ended too early is begun again, and never done.

        Raises:
            psycopg.OperationalError: the server is away.
        """
        async with self.durable.connection() as connection, connection.transaction():

            async def run(statement: str, **values: Any) -> list[tuple[Any, ...]]:
                return await _execute(
                    self.durable, connection, statement, values or None, SWEEP_SECONDS
                )

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
            left = max(LEAST_SECONDS, deadline - loop.time())
            return await fetch(connections, statement, parameters, seconds=left)
        except psycopg.OperationalError:
            if loop.time() >= deadline:
                raise
            await asyncio.sleep(0.05)


async def fetch(
    connections: Connections,
    statement: str,
    parameters: dict[str, Any] | None = None,
    *,
    seconds: float = SILENT_SECONDS,
) -> list[tuple[Any, ...]]:
    """The rows of one statement, in a transaction of its own.

    Args:
        seconds: how long it may take, and the wait for a free connection too.

    Raises:
        psycopg.OperationalError: the server is away, or no connection came free in time
            (`psycopg_pool.PoolTimeout` is one).
    """
    async with connections.connection(min(seconds, POOL_SECONDS)) as connection:
        return await _execute(connections, connection, statement, parameters, seconds)


async def _execute(
    connections: Connections,
    connection: AsyncConnection[tuple[Any, ...]],
    statement: str,
    parameters: dict[str, Any] | None,
    seconds: float,
) -> list[tuple[Any, ...]]:
    """The rows of a statement.

    Raises:
        psycopg.OperationalError: also where the server was silent for so long.
    """
    alarm = asyncio.get_running_loop().call_later(seconds, _give_up, connections, connection)
    try:
        cursor = await connection.execute(statement, parameters)
        return await cursor.fetchall()
    finally:
        alarm.cancel()


def _give_up(connections: Connections, connection: AsyncConnection[tuple[Any, ...]]) -> None:
    """End a connection whose server is silent, and the idle ones, which are as dead.

    The socket is shut down instead of the task cancelled: libpq reports an error at once, while a
    cancelled statement would ask the silent server to cancel it, and wait for that.
    """
    log.error("database.silent")
    with suppress(OSError, psycopg.Error), _socket_of(connection) as peer:
        peer.shutdown(socket.SHUT_RDWR)
    draining = asyncio.ensure_future(connections.drain())
    _draining.add(draining)
    draining.add_done_callback(_draining.discard)


def _socket_of(connection: AsyncConnection[tuple[Any, ...]]) -> socket.socket:
    """A second handle of a connection's socket."""
    return socket.socket(fileno=os.dup(connection.pgconn.socket))
